/*
 * Breadth-first search over packed states.
 *
 * A state is WORDS words; the top bit of its first word is always set, so that an empty slot of the
 * table is zero. The table is open addressing by the high bits of the hash: its order is that of the
 * hashes, so it grows by one sequential pass that gives the old pages back as it goes. Successors
 * are collected in batches whose slots are prefetched. The states of a level lie in blocks, which
 * the workers take one by one.
 *
 * Options of the build: MODEL (the generated source), THREADS (at most), COMPACT (keep 63 bits of a
 * hash in place of the state), SYMMETRY (of states that are alike keep the one that the model's
 * `canonical` makes of them).
 * Arguments: the limits of states, bytes and seconds (0: none), and `trace` to keep parents, which
 * one thread does alone.
 * Output: JSON lines, progress once a second and the result at the end.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef unsigned long long word;
typedef struct worker worker;

#define PRESENT (1ull << 63)
#define BUSY 1ull /* a slot whose other words are being written */
#define BLOCK 1024
#define BATCH 512
#ifndef RECENT
#define RECENT (1 << 16)
#endif

/* ---- what the generated source uses */

static inline void emit(worker *me, const word *state, unsigned action);
static void broken(worker *me, int kind, unsigned claim, unsigned action);
static inline int wanted(unsigned witness);
static void witness(unsigned number);

enum { NOTHING, STATE_CLAIM, STEP_CLAIM, DEADLOCK };

#if SYMMETRY
static inline void canonical(word *state);
static inline unsigned alike(const word *state);
#else
#define canonical(state) ((void)(state))
#define alike(state) 1u
#endif

#define EMIT(action) \
    do { word after[WORDS] = NEXT; canonical(after); emit(me, after, action); } while (0)
#define BROKEN_STATE(claim) broken(me, STATE_CLAIM, claim, 0)
#define BROKEN_STEP(action, claim) broken(me, STEP_CLAIM, claim, action)
#define STUCK() broken(me, DEADLOCK, 0, 0)
#define WANTED(number) __builtin_expect(wanted(number), 0)
#define WITNESS(number) witness(number)

#include MODEL

#if COMPACT
#define SLOT_WORDS 1
#else
#define SLOT_WORDS WORDS
#endif

/* ---- the table of states */

static word *table;
static uint64_t slots, limit_of_slots;
static uint64_t count; /* of states, as far as workers have told */

static inline word mix(word x)
{
    unsigned __int128 p = (unsigned __int128)(x ^ 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull;
    return (word)p ^ (word)(p >> 64);
}

static inline word hash_of(const word *state)
{
    word hash = 0;
    for (int i = 0; i < WORDS; i++)
        hash = mix(state[i] + hash * 0x9e3779b97f4a7c15ull);
    return COMPACT ? hash & ~1ull : hash;
}

static inline uint64_t slot_of(word hash)
{
    return (uint64_t)(((unsigned __int128)hash * slots) >> 64);
}

static inline word *slot_at(uint64_t slot)
{
    return table + slot * SLOT_WORDS;
}

static inline int is_same(const word *a, const word *b)
{
    word difference = 0;
    for (int i = 0; i < SLOT_WORDS; i++)
        difference |= a[i] ^ b[i];
    return !difference;
}

/* Whether the state is new. Another worker may be inserting it at the same moment. */
static inline int insert(const word *state, word hash)
{
#if COMPACT
    const word key[1] = { (hash >> 1) | PRESENT };
#else
    const word *key = state;
#endif
    for (uint64_t i = slot_of(hash);; i = i + 1 == slots ? 0 : i + 1) {
        word *slot = slot_at(i);
#if THREADS == 1
        if (!slot[0]) {
            memcpy(slot, key, sizeof(word) * SLOT_WORDS);
            return 1;
        }
#else
        word first = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
        if (!first) {
            word next = SLOT_WORDS > 1 ? BUSY : key[0];
            if (__atomic_compare_exchange_n(slot, &first, next, 0, __ATOMIC_ACQ_REL,
                                            __ATOMIC_ACQUIRE)) {
                if (SLOT_WORDS > 1) {
                    for (int w = 1; w < SLOT_WORDS; w++)
                        slot[w] = key[w];
                    __atomic_store_n(slot, key[0], __ATOMIC_RELEASE);
                }
                return 1;
            }
        }
        while (SLOT_WORDS > 1 && first == BUSY)
            first = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
#endif
        if (is_same(slot, key))
            return 0;
    }
}

static void no_memory(uint64_t bytes)
{
    printf("{\"error\": \"no memory for %llu bytes more\"}\n", (unsigned long long)bytes);
    exit(4);
}

static void *reserve(uint64_t bytes)
{
    void *found = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (found == MAP_FAILED)
        no_memory(bytes);
    madvise(found, bytes, MADV_HUGEPAGE);
    return found;
}

static uint64_t table_bytes(uint64_t n)
{
    return n * sizeof(word) * SLOT_WORDS;
}

static void use_table(uint64_t n)
{
    table = reserve(table_bytes(n));
    slots = n;
    limit_of_slots = n / 10 * 7;
}

#define GIVE_BACK (1ull << 21)

static void grow(uint64_t n)
{
    word *old = table;
    uint64_t old_slots = slots, given = 0;
    use_table(n);
    for (uint64_t i = 0; i < old_slots; i++) {
        const word *state = old + i * SLOT_WORDS;
        if (!state[0])
            continue;
#if COMPACT
        word hash = state[0] << 1;
#else
        word hash = hash_of(state);
#endif
        uint64_t at = slot_of(hash);
        while (slot_at(at)[0])
            at = at + 1 == slots ? 0 : at + 1;
        memcpy(slot_at(at), state, sizeof(word) * SLOT_WORDS);
        if (table_bytes(i) - given >= 2 * GIVE_BACK) {
            madvise((char *)old + given, GIVE_BACK, MADV_DONTNEED);
            given += GIVE_BACK;
        }
    }
    munmap(old, table_bytes(old_slots));
}

/* ---- the levels: lists of blocks of states, each with its place in the log when tracing */

typedef struct block {
    struct block *next;
    unsigned used;
    word states[BLOCK][WORDS];
    uint64_t place[]; /* only when tracing */
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *this_level, *next_level, *spare;
static uint64_t blocks;
static int tracing;

static uint64_t block_bytes(void)
{
    return sizeof(block) + (tracing ? BLOCK * sizeof(uint64_t) : 0);
}

static block *new_block(void)
{
    pthread_mutex_lock(&lock);
    block *found = spare;
    if (found)
        spare = found->next;
    else
        blocks++;
    pthread_mutex_unlock(&lock);
    if (!found && !(found = malloc(block_bytes())))
        no_memory(block_bytes());
    found->used = 0;
    return found;
}

static void add_to(block **list, block *one)
{
    pthread_mutex_lock(&lock);
    one->next = *list;
    *list = one;
    pthread_mutex_unlock(&lock);
}

static block *take_block(void)
{
    pthread_mutex_lock(&lock);
    block *found = this_level;
    if (found)
        this_level = found->next;
    pthread_mutex_unlock(&lock);
    return found;
}

/* ---- workers */

struct worker {
    block *in, *out;
    unsigned at;
    unsigned n; /* in the batch */
    word state[BATCH + ACTIONS][WORDS];
    word hash[BATCH + ACTIONS];
    uint64_t parent[BATCH + ACTIONS];
    uint16_t action[BATCH + ACTIONS];
    uint64_t taken[ACTIONS];
    uint64_t represented; /* states, by those that were kept */
    word recent[RECENT][WORDS]; /* states that were emitted last, by hash: most come again soon */
    uint64_t reported;
};

static worker *workers[THREADS];
static int threads = THREADS;
static volatile int full, done, over;
static struct { int kind; unsigned claim, action; uint64_t place; } found;
static uint64_t seen; /* witnesses, a bit each */
static const char *limit = "";
static uint64_t max_states, max_bytes, max_seconds, depth, most_bytes;

/* The log: a state's parent and the action that led to it; only when tracing. */
typedef struct { uint64_t parent; unsigned action; } origin;
static origin *origins;
static uint64_t logged, log_room;

static void log_origin(uint64_t parent, unsigned action)
{
    if (logged == log_room) {
        log_room = log_room ? log_room * 2 : 1 << 16;
        origins = realloc(origins, log_room * sizeof(origin));
        if (!origins)
            no_memory(log_room * sizeof(origin));
    }
    origins[logged++] = (origin){ parent, action };
}

static inline int wanted(unsigned number)
{
    return !(seen >> number & 1);
}

static void witness(unsigned number)
{
    __atomic_fetch_or(&seen, 1ull << number, __ATOMIC_RELAXED);
}

/*
 * A claim breaks. A state that breaks one ends the search; a step that does is a step further, so
 * the rest of its level is still searched for such a state.
 */
static void broken(worker *me, int kind, unsigned claim, unsigned action)
{
    if (kind == STEP_CLAIM && found.kind)
        return;
    pthread_mutex_lock(&lock);
    if (!found.kind || (found.kind == STEP_CLAIM && kind != STEP_CLAIM)) {
        found.kind = kind;
        found.claim = claim;
        found.action = action;
        found.place = tracing ? me->in->place[me->at] : 0;
    }
    if (kind != STEP_CLAIM)
        done = 1;
    pthread_mutex_unlock(&lock);
}

static inline void emit(worker *me, const word *state, unsigned action)
{
    word hash = hash_of(state);
    word *recent = me->recent[hash % RECENT];
    word difference = 0;
    me->taken[action]++;
    for (int i = 0; i < WORDS; i++)
        difference |= recent[i] ^ state[i];
    if (!difference) /* it is in the table, or waits in the batch to get there */
        return;
    memcpy(recent, state, sizeof(word) * WORDS);
    unsigned n = me->n++;
    memcpy(me->state[n], state, sizeof(word) * WORDS);
    me->hash[n] = hash;
    if (__builtin_expect(tracing, 0))
        me->action[n] = action;
    __builtin_prefetch(slot_at(slot_of(hash)), 1);
}

static void flush(worker *me)
{
    uint64_t added = 0;
    for (unsigned i = 0; i < me->n; i++) {
        if (!insert(me->state[i], me->hash[i]))
            continue;
        added++;
        me->represented += alike(me->state[i]);
        block *out = me->out;
        if (!out || out->used == BLOCK) {
            if (out)
                add_to(&next_level, out);
            me->out = out = new_block();
        }
        memcpy(out->states[out->used], me->state[i], sizeof(word) * WORDS);
        if (tracing) {
            out->place[out->used] = logged;
            log_origin(me->parent[i], me->action[i]);
        }
        out->used++;
    }
    me->n = 0;
    if (__atomic_add_fetch(&count, added, __ATOMIC_RELAXED) > limit_of_slots)
        full = 1;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double started, told;

static uint64_t bytes_now(void)
{
    return table_bytes(slots) + blocks * block_bytes() + log_room * sizeof(origin)
           + threads * sizeof(worker);
}

static void stop_at(const char *which)
{
    limit = which;
    done = 1;
}

static void look_at_limits(void)
{
    double t = now();
    if (max_states && count > max_states)
        stop_at("states");
    if (max_seconds && t - started > max_seconds)
        stop_at("time");
    if (t - told >= 1) {
        told = t;
        printf("{\"progress\": %llu, \"depth\": %llu}\n", (unsigned long long)count,
               (unsigned long long)depth);
        fflush(stdout);
    }
}

/* Expand blocks until none is left or the table is full. */
static void work(worker *me, int first)
{
    while (!done && !full) {
        if (!me->in) {
            if (first)
                look_at_limits();
            me->at = 0;
            if (!(me->in = take_block()))
                break;
        }
        for (; me->at < me->in->used && !done && !full; me->at++) {
            unsigned before = me->n;
            expand(me->in->states[me->at], me);
            if (tracing)
                for (unsigned i = before; i < me->n; i++)
                    me->parent[i] = me->in->place[me->at];
            if (me->n >= BATCH)
                flush(me);
        }
        if (me->at == me->in->used) {
            add_to(&spare, me->in);
            me->in = NULL;
        }
    }
    flush(me);
}

/* Between two rounds of work, alone: grow, or go on to the next level. */
static void between(void)
{
    if (bytes_now() > most_bytes)
        most_bytes = bytes_now();
    if (done)
        return;
    if (full) {
        uint64_t more = slots < 1 << 22 ? slots * 4 : slots / 2 * 3;
        if (max_bytes && table_bytes(more) + bytes_now() - table_bytes(slots) > max_bytes) {
            stop_at("memory");
            return;
        }
        grow(more);
        full = 0;
        return;
    }
    for (int i = 0; i < threads; i++) {
        if (workers[i]->in)
            return;
        if (workers[i]->out)
            add_to(&next_level, workers[i]->out);
        workers[i]->out = NULL;
    }
    if (!this_level && found.kind) {
        done = 1;
    } else if (!this_level) {
        this_level = next_level;
        next_level = NULL;
        if (this_level)
            depth++;
        else
            done = 1;
    }
}

static pthread_barrier_t barrier;
#define WAIT() do { if (THREADS > 1) pthread_barrier_wait(&barrier); } while (0)

static void *run(void *argument)
{
    int number = (int)(intptr_t)argument;
    while (!over) {
        work(workers[number], number == 0);
        WAIT();
        if (number == 0) {
            between();
            over = done;
        }
        WAIT();
    }
    return NULL;
}

static void start(void)
{
    use_table((1 << 20) / SLOT_WORDS);
    for (int i = 0; i < threads; i++) {
        workers[i] = reserve(sizeof(worker));
        memset(workers[i], 0, sizeof(worker));
    }
    worker *me = workers[0];
    memcpy(me->state[0], initial, sizeof initial);
    me->hash[0] = hash_of(initial);
    me->n = 1;
    flush(me);
    add_to(&this_level, me->out);
    me->out = NULL;
}

static void print_path(void)
{
    static unsigned path[1 << 16];
    int n = 0;
    if (found.kind == STEP_CLAIM)
        path[n++] = found.action;
    for (uint64_t at = found.place; at; at = origins[at].parent)
        path[n++] = origins[at].action;
    printf(", \"path\": [");
    while (n--)
        printf("%u%s", path[n], n ? ", " : "");
    printf("]");
}

static void print_result(void)
{
    uint64_t transitions = 0, represented = 0;
    for (int i = 0; i < threads; i++)
        represented += workers[i]->represented;
    printf("{\"states\": %llu, \"depth\": %llu, \"seconds\": %.6f, \"bytes\": %llu, "
           "\"represented\": %llu, \"limit\": \"%s\", \"kind\": %d, \"claim\": %u, \"action\": %u, \"seen\": %llu",
           (unsigned long long)count, (unsigned long long)depth, now() - started,
           (unsigned long long)most_bytes, (unsigned long long)represented, limit, found.kind, found.claim, found.action,
           (unsigned long long)seen);
    if (found.kind && tracing)
        print_path();
    printf(", \"taken\": [");
    for (int a = 0; a < ACTIONS; a++) {
        uint64_t taken = 0;
        for (int i = 0; i < threads; i++)
            taken += workers[i]->taken[a];
        printf("%llu%s", (unsigned long long)taken, a + 1 < ACTIONS ? ", " : "]");
    }
    for (int i = 0; i < threads; i++)
        for (int a = 0; a < ACTIONS; a++)
            transitions += workers[i]->taken[a];
    printf(", \"transitions\": %llu}\n", (unsigned long long)transitions);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    max_states = strtoull(argv[1], NULL, 10);
    max_bytes = strtoull(argv[2], NULL, 10);
    max_seconds = strtoull(argv[3], NULL, 10);
    tracing = argc > 4;
    threads = tracing ? 1 : THREADS;
    started = told = now();
    start();
    pthread_t others[THREADS];
    pthread_barrier_init(&barrier, NULL, threads);
    for (int i = 1; i < threads; i++)
        pthread_create(&others[i], NULL, run, (void *)(intptr_t)i);
    run(NULL);
    for (int i = 1; i < threads; i++)
        pthread_join(others[i], NULL);
    print_result();
    return 0;
}
