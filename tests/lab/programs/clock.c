/* Shifts the wall clock that a process reads from the C library (preloaded; see tests/lab/clock.py).
 *
 * The shift, in nanoseconds, is the first 8 bytes of the file $LAB_CLOCK, mapped so that a change is felt at once.
 * Waiting until a moment of the wall clock ends at that moment of the shifted one; all other clocks are true.
 * (libfaketime 0.9.10 can't be used: it breaks clock_nanosleep on the monotonic clock, so Python's time.sleep.)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static const volatile int64_t *shift;
static int (*true_gettime)(clockid_t, struct timespec *);
static int (*true_nanosleep)(clockid_t, int, const struct timespec *, struct timespec *);
static int (*true_sem_timedwait)(sem_t *, const struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    static const int64_t none;
    const char *name = getenv("LAB_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    shift = map == MAP_FAILED ? &none : map;
    if (file >= 0)
        close(file);
    true_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    true_nanosleep = dlsym(RTLD_NEXT, "clock_nanosleep");
    true_sem_timedwait = dlsym(RTLD_NEXT, "sem_timedwait");
}

static struct timespec moved(struct timespec moment, int64_t by)
{
    int64_t nanoseconds = moment.tv_nsec + by % SECOND;
    moment.tv_sec += by / SECOND + (nanoseconds >= SECOND) - (nanoseconds < 0);
    moment.tv_nsec = (nanoseconds + SECOND) % SECOND;
    return moment;
}

static int is_wall(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!true_gettime) /* another library's constructor was earlier */
        begin();
    int failed = true_gettime(clock, now);
    if (!failed && is_wall(clock))
        *now = moved(*now, *shift);
    return failed;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec precise;
    (void)zone;
    int failed = clock_gettime(CLOCK_REALTIME, &precise);
    if (!failed)
        *now = (struct timeval){precise.tv_sec, precise.tv_nsec / 1000};
    return failed;
}

time_t time(time_t *also)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return (time_t)-1;
    if (also)
        *also = now.tv_sec;
    return now.tv_sec;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
    struct timespec true_until = *until;
    if (is_wall(clock) && flags & TIMER_ABSTIME)
        true_until = moved(*until, -*shift);
    return true_nanosleep(clock, flags, &true_until, left);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    struct timespec true_until = moved(*until, -*shift);
    return true_sem_timedwait(semaphore, &true_until);
}
