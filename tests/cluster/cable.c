/* A network cable that delays and loses frames, for kernels without a queue that does (netem):
 *
 *     cable HERE NAMESPACE THERE MS [JITTER_MS [LOSS_PERCENT]]
 *
 * Makes the device HERE in this network namespace and THERE in that of the file NAMESPACE, and carries frames between them,
 * each MS milliseconds after it came and at most JITTER_MS more, in their order. Says "ready" when both are there; when one
 * is deleted it ends, and when it ends they go. `tests/cluster/hosts delay` compiles and starts it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { FRAMES = 4096, FRAME_BYTES = 2048 };

struct frame {
    double due; /* seconds of the monotonic clock */
    ssize_t bytes;
    char data[FRAME_BYTES];
};

/* What is on its way in one direction: a ring, oldest first. */
struct way {
    int from, to; /* devices */
    struct frame *ring;
    int first, count;
    double last; /* when the newest is due: none may overtake it */
};

struct habits {
    double delay, jitter; /* seconds */
    double loss;          /* of 1 */
};

static void give_up(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int device(const char *name) {
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) give_up("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (ioctl(fd, TUNSETIFF, &request)) give_up(name);
    return fd;
}

/* Delivers what is due. A device that is down or full drops its frames, as real ones do. */
static void deliver(struct way *way, double time) {
    while (way->count && way->ring[way->first].due <= time) {
        struct frame *frame = &way->ring[way->first];
        if (write(way->to, frame->data, (size_t)frame->bytes) < 0 && errno != EIO && errno != EAGAIN) give_up("write");
        way->first = (way->first + 1) % FRAMES;
        way->count--;
    }
}

/* Takes what has come, as long as there is room; the rest waits in the device. */
static void collect(struct way *way, double time, const struct habits *habits) {
    while (way->count < FRAMES) {
        struct frame *frame = &way->ring[(way->first + way->count) % FRAMES];
        frame->bytes = read(way->from, frame->data, FRAME_BYTES);
        if (frame->bytes < 0 && errno == EBADFD) exit(0); /* someone has deleted the device */
        if (frame->bytes <= 0) return;
        if (habits->loss > 0 && drand48() < habits->loss) continue;
        frame->due = time + habits->delay + habits->jitter * drand48();
        if (frame->due < way->last) frame->due = way->last;
        way->last = frame->due;
        way->count++;
    }
}

static void carry(struct way ways[2], const struct habits *habits) {
    for (;;) {
        double next = now() + 1;
        struct pollfd polled[2];
        for (int i = 0; i < 2; i++) {
            deliver(&ways[i], now());
            if (ways[i].count && ways[i].ring[ways[i].first].due < next) next = ways[i].ring[ways[i].first].due;
            polled[i] = (struct pollfd){.fd = ways[i].count < FRAMES ? ways[i].from : -1, .events = POLLIN};
        }
        double wait = next - now();
        if (wait < 0) wait = 0;
        struct timespec time = {.tv_sec = (time_t)wait, .tv_nsec = (long)(1e9 * (wait - (double)(time_t)wait))};
        if (ppoll(polled, 2, &time, NULL) < 0 && errno != EINTR) give_up("ppoll");
        for (int i = 0; i < 2; i++) collect(&ways[i], now(), habits);
    }
}

static double number(int argc, char **argv, int i) {
    if (i >= argc) return 0;
    char *end;
    double value = strtod(argv[i], &end);
    if (end != argv[i] && !*end && value >= 0 && value <= 10000) return value;
    fprintf(stderr, "cable: '%s' is not a number from 0 to 10000\n", argv[i]);
    exit(2);
}

int main(int argc, char **argv) {
    if (argc < 5 || argc > 7) {
        fprintf(stderr, "cable HERE NAMESPACE THERE MS [JITTER_MS [LOSS_PERCENT]]\n");
        return 2;
    }
    struct habits habits = {1e-3 * number(argc, argv, 4), 1e-3 * number(argc, argv, 5), 1e-2 * number(argc, argv, 6)};
    int here = device(argv[1]);
    int space = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET)) give_up(argv[2]);
    int there = device(argv[3]);
    struct way ways[2] = {{.from = here, .to = there}, {.from = there, .to = here}};
    for (int i = 0; i < 2; i++) {
        ways[i].ring = calloc(FRAMES, sizeof(struct frame));
        if (!ways[i].ring) give_up("calloc");
    }
    prctl(PR_SET_TIMERSLACK, 1); /* wakes in time, on a busy machine too */
    if (nice(-15) == -1) errno = 0;
    puts("ready");
    fflush(stdout);
    carry(ways, &habits);
}
