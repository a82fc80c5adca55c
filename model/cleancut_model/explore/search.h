/*
 * What every search has: claims that break, witnesses that are seen, limits and progress, memory.
 */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static worker *workers[THREADS];
static int threads = THREADS;
static int tracing;
static volatile int done;

static uint64_t count; /* of states, as far as workers have told */
static uint64_t depth, most_bytes;

/* ---- claims and witnesses */

static struct {
    int kind;
    unsigned claim, action;
    const word *state; /* the one from which it breaks */
    uint64_t place;
} found;
static uint64_t seen; /* witnesses, a bit each */

static const word *state_at(const worker *me);
static uint64_t place_at(const worker *me);

static inline int wanted(unsigned number)
{
    return !(seen >> number & 1);
}

static void witness(unsigned number)
{
    __atomic_fetch_or(&seen, 1ull << number, __ATOMIC_RELAXED);
}

/* Whether a claim that breaks is the one to tell of, rather than the one that is known. */
static int comes_first(const word *state, int kind, unsigned claim, unsigned action)
{
    if (!found.kind)
        return 1;
    if ((kind == STEP_CLAIM) != (found.kind == STEP_CLAIM))
        return kind != STEP_CLAIM;
    if (state != found.state || kind != found.kind)
        return 0;
    return action != found.action ? action < found.action : claim < found.claim;
}

/*
 * A claim breaks. A state that breaks one ends the search; a step that does is a step further, so
 * the rest of its level is still searched for such a state.
 */
static void broken(worker *me, int kind, unsigned claim, unsigned action)
{
    const word *state = state_at(me);
    if (kind == STEP_CLAIM && found.kind && state != found.state)
        return;
    pthread_mutex_lock(&lock);
    if (comes_first(state, kind, claim, action)) {
        found.kind = kind;
        found.claim = claim;
        found.action = action;
        found.state = state;
        found.place = tracing ? place_at(me) : 0;
    }
    if (kind != STEP_CLAIM)
        done = 1;
    pthread_mutex_unlock(&lock);
}

/* ---- limits and progress */

static const char *limit = "";
static uint64_t max_states, max_bytes, max_seconds;
static double started, told;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
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

/* ---- memory, and the hash that both searches use */

static void no_memory(uint64_t bytes)
{
    printf("{\"error\": \"no memory for %llu bytes more\"}\n", (unsigned long long)bytes);
    exit(4);
}

static void *reserve(uint64_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        no_memory(bytes);
    return at;
}

static void *allocate(uint64_t bytes)
{
    void *at = calloc(1, bytes);
    if (!at)
        no_memory(bytes);
    return at;
}

HOT word mix(word x)
{
    unsigned __int128 p = (unsigned __int128)(x ^ 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull;
    return (word)p ^ (word)(p >> 64);
}

HOT word hash_of(const word *state)
{
    word hash = 0;
    for (int i = 0; i < WORDS; i++)
        hash = mix(state[i] + hash * 0x9e3779b97f4a7c15ull);
    return COMPACT ? hash & ~1ull : hash;
}

HOT int are_equal(const word *a, const word *b)
{
    word difference = 0;
    for (int i = 0; i < WORDS; i++)
        difference |= a[i] ^ b[i];
    return !difference;
}
