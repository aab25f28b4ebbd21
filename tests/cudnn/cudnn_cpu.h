/* What tests may ask of the cuDNN that computes on the processor (cudnn_cpu.c), beside cuDNN's own functions. */
#ifndef TESTS_CUDNN_CPU_H
#define TESTS_CUDNN_CPU_H

/* The call, counted from 1, of those that can fail that will fail next; 0: none. The count begins again; returns what it was. */
typedef int cudnn_cpu_fail_function(int call);
/* Descriptors and handles that are not destroyed. */
typedef int cudnn_cpu_alive_function(void);

cudnn_cpu_fail_function cudnn_cpu_fail;
cudnn_cpu_alive_function cudnn_cpu_alive;

#endif
