/*
 * Numbers for words: each key that was seen has one, from 0 on in the order in which they came. One
 * who looks takes no lock; one who adds does.
 */

typedef struct index {
    struct index *older; /* it stays, for those who are looking at it */
    uint64_t mask;
    uint32_t number[]; /* by hash, plus one; 0 where there is none */
} index_;

typedef struct {
    word (*keys)[WORDS]; /* by number */
    uint32_t n, most;
    index_ *index;
} numbers;

static volatile int too_many; /* keys: what is found from now on means nothing */

static index_ *new_index(uint64_t size, index_ *older)
{
    index_ *one = allocate(sizeof(index_) + size * sizeof(uint32_t));
    one->mask = size - 1;
    one->older = older;
    return one;
}

static void make_numbers(numbers *all, uint32_t most)
{
    all->keys = reserve((uint64_t)most * sizeof *all->keys);
    all->most = most;
    all->index = new_index(1 << 10, NULL);
}

static uint64_t bytes_of(const numbers *all)
{
    uint64_t bytes = all->n * sizeof *all->keys;
    for (const index_ *one = all->index; one; one = one->older)
        bytes += sizeof(index_) + (one->mask + 1) * sizeof(uint32_t);
    return bytes;
}

/* The place of a key in an index, or that where it would be. */
HOT uint32_t *place_in(const numbers *all, index_ *index, const word *key, word hash)
{
    for (uint64_t i = hash & index->mask;; i = (i + 1) & index->mask) {
        uint32_t number = __atomic_load_n(&index->number[i], __ATOMIC_ACQUIRE);
        if (!number || are_equal(all->keys[number - 1], key))
            return &index->number[i];
    }
}

static void grow_index(numbers *all)
{
    index_ *more = new_index(4 * (all->index->mask + 1), all->index);
    for (uint32_t i = 0; i < all->n; i++)
        *place_in(all, more, all->keys[i], hash_of(all->keys[i])) = i + 1;
    __atomic_store_n(&all->index, more, __ATOMIC_RELEASE);
}

static uint32_t add_number(numbers *all, const word *key, word hash)
{
    pthread_mutex_lock(&lock);
    uint32_t *place = place_in(all, all->index, key, hash);
    if (!*place && all->n == all->most) {
        too_many = done = 1;
        pthread_mutex_unlock(&lock);
        return 0;
    }
    if (!*place) {
        memcpy(all->keys[all->n], key, sizeof *all->keys);
        if (all->n * 2 > all->index->mask) {
            grow_index(all);
            place = place_in(all, all->index, key, hash);
        }
        __atomic_store_n(place, ++all->n, __ATOMIC_RELEASE);
    }
    uint32_t number = *place;
    pthread_mutex_unlock(&lock);
    return number - 1;
}

HOT uint32_t number_of(numbers *all, const word *key)
{
    word hash = hash_of(key);
    index_ *index = __atomic_load_n(&all->index, __ATOMIC_ACQUIRE);
    uint32_t number = __atomic_load_n(place_in(all, index, key, hash), __ATOMIC_ACQUIRE);
    return __builtin_expect(number, 1) ? number - 1 : add_number(all, key, hash);
}
