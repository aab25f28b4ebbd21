/* Blocks of threads as fibers. A fiber runs until it has to wait for others; then the schedule picks the next. */
#include "fibers.h"
#include "shim.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <sys/mman.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif
#ifndef __x86_64__
#include <ucontext.h>
#endif

shim_thread shim_now;

namespace {

enum { WARP = 32, MOST_THREADS = 1024, STACK = 384 << 10, LAST_FRAME = 4096 };
/* Stacks that all began at the same place of a page would take the same few lines of the cache from each other. */
enum { COLORS = 64, COLOR = 1024 + 64 };
enum state { READY, AT_BARRIER, IN_WARP, ENDED };

int lowest_bit(uint64_t x) { return __builtin_ctzll(x); }
int highest_bit(uint64_t x) { return 63 - __builtin_clzll(x); }

struct copy {
    void *to;
    const void *from;
    size_t bytes, zeros;
};

struct fiber {
    state now;
    dim3 place;
    int line;         /* where it waits for its block */
    const char *what; /* what it waits for in its warp */
    uint64_t turn;    /* its next collective call */
    std::vector<copy> open;
    std::vector<std::vector<copy>> groups;
    char *stack;
#ifdef __x86_64__
    void *at;
#else
    ucontext_t context;
#endif
};

struct warp {
    unsigned arrived;
    const char *what;
    uint64_t turn;
    shim_words words[2][WARP];
};

struct {
    fiber fibers[MOST_THREADS];
    warp warps[MOST_THREADS / WARP];
    uint64_t ready[MOST_THREADS / 64]; /* bit i: thread i could go on */
    int threads, current, waiting, ended, line;
    const char *name;
    const std::function<void()> *body;
#ifdef __x86_64__
    void *scheduler;
#else
    ucontext_t scheduler;
#endif
} block;

shim_order order = SHIM_FORWARD;
uint64_t random_state = 1;

} // namespace

void shim_set_order(int wanted, uint64_t seed) {
    order = (shim_order)wanted;
    random_state = seed * 2 + 1;
}

uint64_t shim_draw(uint64_t n) { /* xorshift64* (Vigna 2016) */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 2685821657736338717u >> 11) % n;
}

void shim_stop(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fprintf(stderr, "shim: kernel %s, block %u %u %u: ", block.name ? block.name : "?", shim_now.block.x,
            shim_now.block.y, shim_now.block.z);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    abort();
}

/* ---- from one stack to another ---- */

#ifdef __x86_64__
/* Saves what a called function must keep and the stack pointer, and takes up the other's. */
extern "C" void shim_switch(void **save, void *load);
__asm__(".text\n"
        ".globl shim_switch\n"
        "shim_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n");

static void from_scheduler(fiber *f) { shim_switch(&block.scheduler, f->at); }
static void to_scheduler(fiber *f) { shim_switch(&f->at, block.scheduler); }
static void to_fiber(fiber *from, fiber *f) { shim_switch(&from->at, f->at); }
#else
static void from_scheduler(fiber *f) { swapcontext(&block.scheduler, &f->context); }
static void to_scheduler(fiber *f) { swapcontext(&f->context, &block.scheduler); }
static void to_fiber(fiber *from, fiber *f) { swapcontext(&from->context, &f->context); }
#endif

static void end_thread();

static void thread_main() {
    (*block.body)();
    fiber *f = &block.fibers[block.current];
    if (!f->open.empty() || !f->groups.empty()) shim_stop("a thread ends before its asynchronous copies");
    end_thread();
    abort();
}

/* thread_main() never returns, so the sanitizer's marks of its frame stay on the stack. */
static void unpoison(void *memory, size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}

static void begin(fiber *f) {
    if (!f->stack) {
        f->stack =
            (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (f->stack == MAP_FAILED) shim_stop("no memory for the stack of a thread");
    }
    char *end = f->stack + STACK - (f - block.fibers) % COLORS * COLOR;
    unpoison(end - LAST_FRAME, LAST_FRAME);
    f->turn = 0;
    f->open.clear();
    f->groups.clear();
#ifdef __x86_64__
    void **top = (void **)end;
    *--top = nullptr; /* keeps the stack aligned as a call would */
    *--top = (void *)thread_main;
    for (int i = 0; i < 6; i++) *--top = nullptr;
    f->at = top;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = (size_t)(end - f->stack);
    makecontext(&f->context, thread_main, 0);
#endif
}

/* ---- threads that wait for each other ---- */

int shim_lane() { return block.current % WARP; }

static void set_state(int thread, state now) {
    const uint64_t bit = (uint64_t)1 << thread % 64;
    block.fibers[thread].now = now;
    if (now == READY)
        block.ready[thread / 64] |= bit;
    else
        block.ready[thread / 64] &= ~bit;
}

static fiber *choose_next();

/* Goes on with another thread; returns when the schedule comes back to this one. */
static void let_others() {
    fiber *me = &block.fibers[block.current], *next = choose_next();
    if (next != me) to_fiber(me, next);
}

static void wait_as(state what) {
    set_state(block.current, what);
    let_others();
}

void shim_barrier(int line) {
    fiber *f = &block.fibers[block.current];
    f->line = line;
    if (block.waiting && block.line != line)
        shim_stop("threads wait for their block in lines %d and %d", block.line, line);
    block.line = line;
    if (++block.waiting < block.threads) {
        wait_as(AT_BARRIER);
        return;
    }
    block.waiting = 0;
    for (int i = 0; i < block.threads; i++) set_state(i, READY);
    let_others(); /* the last one gets no start on the others */
}

const shim_words *shim_warp(const char *what, const void *mine, size_t bytes) {
    fiber *f = &block.fibers[block.current];
    int lane = block.current % WARP;
    warp *w = &block.warps[block.current / WARP];
    uint64_t turn = f->turn++;
    if (w->turn != turn) shim_stop("a lane of a warp is ahead of another: %s", what);
    if (w->arrived && w->what != what && strcmp(w->what, what))
        shim_stop("lanes of a warp wait in %s and in %s", w->what, what);
    if (bytes > sizeof w->words[0][0]) shim_stop("%s: too many words", what);
    w->what = f->what = what;
    memcpy(&w->words[turn & 1][lane], mine, bytes);
    w->arrived |= 1u << lane;
    if (w->arrived != ~0u) {
        wait_as(IN_WARP);
    } else {
        w->arrived = 0;
        w->turn++;
        int first = block.current - lane;
        for (int i = first; i < first + WARP; i++) set_state(i, READY);
        let_others();
    }
    return w->words[turn & 1];
}

static void land(const copy &c) {
    if (c.bytes) memcpy(c.to, c.from, c.bytes);
    if (c.zeros) memset((char *)c.to + c.bytes, 0, c.zeros);
}

void shim_copy_later(void *to, const void *from, size_t bytes, size_t zeros) {
    const copy c = {to, from, bytes, zeros};
    if (order == SHIM_BACKWARD) /* at once: the earliest that it may land */
        land(c);
    else
        block.fibers[block.current].open.push_back(c);
}

void shim_commit() {
    fiber *f = &block.fibers[block.current];
    f->groups.push_back(std::move(f->open));
    f->open.clear();
}

/* The address sanitizer sees these copies as it would see the thread's own. */
void shim_wait_groups(unsigned left) {
    fiber *f = &block.fibers[block.current];
    while (f->groups.size() > left) {
        for (const copy &c : f->groups.front()) land(c);
        f->groups.erase(f->groups.begin());
    }
}

static void end_thread() {
    set_state(block.current, ENDED);
    if (++block.ended == block.threads) to_scheduler(&block.fibers[block.current]);
    let_others();
}

/* ---- a block, a grid ---- */

/* The next thread that could go on, from `from` up or down, and around; -1: none. */
static int next_above(int from) {
    const int words = (block.threads + 63) / 64;
    uint64_t word = block.ready[from / 64] & ~(uint64_t)0 << from % 64;
    for (int i = 0, w = from / 64; i <= words; i++, w = w + 1 < words ? w + 1 : 0) {
        if (i) word = block.ready[w];
        if (word) return 64 * w + lowest_bit(word);
    }
    return -1;
}

static int next_below(int from) {
    const int words = (block.threads + 63) / 64;
    uint64_t word = block.ready[from / 64] & ~(uint64_t)0 >> (63 - from % 64);
    for (int i = 0, w = from / 64; i <= words; i++, w = (w ? w : words) - 1) {
        if (i) word = block.ready[w];
        if (word) return 64 * w + highest_bit(word);
    }
    return -1;
}

/* Forward and backward, those in front get as far as they can before others begin. */
static int next_ready() {
    if (order == SHIM_BACKWARD) return next_below(block.threads - 1);
    return next_above(order == SHIM_DRAWN ? (int)shim_draw((uint64_t)block.threads) : 0);
}

static void tell_who_waits() {
    for (int i = 0; i < block.threads; i++) {
        const fiber *f = &block.fibers[i];
        if (f->now == AT_BARRIER)
            shim_stop("%d threads wait for their block in line %d for %d that have ended or wait elsewhere",
                      block.waiting, f->line, block.threads - block.waiting);
    }
    for (int i = 0; i < block.threads; i++)
        if (block.fibers[i].now == IN_WARP)
            shim_stop("thread %d waits in %s for lanes that have ended or wait elsewhere", i, block.fibers[i].what);
    shim_stop("no thread can go on");
}

static fiber *choose_next() {
    const int at = next_ready();
    if (at < 0) tell_who_waits();
    block.current = at;
    shim_now.place = block.fibers[at].place;
    return &block.fibers[at];
}

static void run_block(dim3 size) {
    block.threads = (int)(size.x * size.y * size.z);
    block.waiting = block.ended = 0;
    for (int i = 0; i < block.threads; i++) {
        unsigned at = (unsigned)i;
        block.fibers[i].place = dim3(at % size.x, at / size.x % size.y, at / size.x / size.y);
        begin(&block.fibers[i]);
        set_state(i, READY);
    }
    for (int i = 0; i < (block.threads + WARP - 1) / WARP; i++) block.warps[i].arrived = 0, block.warps[i].turn = 0;
    from_scheduler(choose_next()); /* returns when the last thread has ended */
}

/* The i-th block to run: every number once. */
static uint64_t block_number(uint64_t i, uint64_t count, uint64_t stride, uint64_t shift) {
    if (order == SHIM_BACKWARD) return count - 1 - i;
    return order == SHIM_DRAWN ? (i * stride + shift) % count : i;
}

static uint64_t common_divisor(uint64_t a, uint64_t b) { return b ? common_divisor(b, a % b) : a; }

void shim_run_grid(const char *name, dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()> &thread) {
    uint64_t count = (uint64_t)grid.x * grid.y * grid.z, stride = 1, shift = 0;
    const char *before = block.name;
    block.name = name;
    block.body = &thread;
    shim_now.grid_size = grid;
    shim_now.block_size = size;
    if (order == SHIM_DRAWN) {
        shift = shim_draw(count);
        do stride = 1 + shim_draw(count);
        while (common_divisor(stride, count) != 1);
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = block_number(i, count, stride, shift);
        shim_now.block = dim3((unsigned)(number % grid.x), (unsigned)(number / grid.x % grid.y),
                              (unsigned)(number / grid.x / grid.y));
        if (posix_memalign(&shim_now.shared, 128, shared_bytes)) shim_stop("no shared memory");
        memset(shim_now.shared, 0xff, shared_bytes);
        run_block(size);
        free(shim_now.shared);
    }
    block.name = before;
}
