/* The parts of `lockstep tokenize`: one file each. */
#ifndef CLI_TOKENIZE_H
#define CLI_TOKENIZE_H

int cli_tokenize_train(int argc, char **argv);
int cli_tokenize_encode(int argc, char **argv);
int cli_tokenize_decode(int argc, char **argv);

#endif
