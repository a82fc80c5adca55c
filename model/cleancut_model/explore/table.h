/*
 * The table of the states that were seen: open addressing by the high bits of the hash. Its order is
 * that of the hashes, so it grows by one sequential pass that gives the old pages back as it goes.
 */
#define BUSY 1ull /* a slot whose other words are being written */
#if COMPACT
#define SLOT_WORDS 1
#else
#define SLOT_WORDS WORDS
#endif

static word *table;
static uint64_t slots, limit_of_slots;

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

static uint64_t table_bytes(uint64_t n)
{
    return n * sizeof(word) * SLOT_WORDS;
}

static void use_table(uint64_t n)
{
    table = reserve(table_bytes(n));
    madvise(table, table_bytes(n), MADV_HUGEPAGE);
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
