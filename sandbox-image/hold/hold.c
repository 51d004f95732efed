/*
 * Process 1 of a sandbox in a pod, and what the control plane starts there by exec. A pod has one user, so process 1 is
 * of the same user as hostile code: it must neither be ended nor read by it.
 *
 *   hold hold [--limit NAME=VALUE]... [--filter host|remapped|none]    process 1
 *   hold run [--env NAME=VALUE]... -- PROGRAM [ARGUMENT]...            runs it under the limits and the filter of process 1
 *   hold end                                                           kills all others, and prints {"left":N}
 *   hold count                                                         prints {"left":N}, the number of others
 *
 * The file is not readable by the user, so the kernel makes a process that runs it not dumpable from its exec on:
 * nobody of its user can trace it, or open what belongs to it in /proc.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Made by make-filter.c: `static const struct sock_filter HOST[], REMAPPED[]`. */
#include "filter.h"

/* Variables of the image, as `env -0` prints them. Those that a cluster adds to a container are not among them. */
#define ENVIRONMENT "/opt/glovebox/environment"
/* What only gVisor's kernel has. */
#define GVISOR "/proc/sentry-meminfo"
/* Longest environment of an image, and longest command line of process 1, in bytes. */
#define MOST_ENVIRONMENT 65536
#define MOST_ARGUMENTS 4096

/* Time that `hold end` takes at most, in milliseconds, and between two kills. */
#define END_MS 4000
#define KILL_AGAIN_MS 20
/* Pause after a signal from inside the sandbox. Code could otherwise have process 1 use up a limit of processor time. */
#define UNWANTED_SIGNAL_MS 200

static void refuse(const char *what) {
    fprintf(stderr, "hold: %s: %s\n", what, strerror(errno));
    exit(125);
}

static void pause_ms(long ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static long now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Only the container runtime, outside of the PID namespace, can send a signal that has no sender in it. */
static int is_from_outside(const siginfo_t *info) { return info->si_code == SI_USER && info->si_pid == 0; }

static void hold(void) {
    sigset_t end;
    siginfo_t info;
    if (getpid() != 1) {
        errno = EINVAL;
        refuse("not process 1");
    }
    /* SIGCHLD too: the kernel then reaps all children by itself. */
    for (int signal_number = 1; signal_number < NSIG; signal_number++) signal(signal_number, SIG_IGN);
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    signal(SIGTERM, SIG_DFL);
    if (sigprocmask(SIG_SETMASK, &end, NULL) != 0) refuse("signals");
    /* Whoever could open these would write to the node's disk, as its log of this container. */
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) _exit(125);
    close_range(3, ~0U, 0);
    if (chdir("/") != 0) _exit(125);
    for (;;) {
        if (sigwaitinfo(&end, &info) < 0) continue;
        if (is_from_outside(&info)) _exit(0);
        pause_ms(UNWANTED_SIGNAL_MS);
    }
}

/* Whether a thread runs, waits or is stopped, rather than has ended. */
static int is_live_thread(int tasks, const char *name) {
    char path[64], text[512];
    snprintf(path, sizeof path, "%.32s/stat", name);
    int file = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return 0;
    text[length] = 0;
    /* The name of the program may have any characters. */
    const char *state = strrchr(text, ')');
    return state == NULL || strlen(state) < 3 || (state[2] != 'Z' && state[2] != 'X');
}

/* A process whose first thread has ended looks dead in the list of processes, while its other threads run. */
static int is_live(int processes, const char *name) {
    char path[64];
    int live = 0;
    snprintf(path, sizeof path, "%.32s/task", name);
    int tasks = openat(processes, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = tasks < 0 ? NULL : fdopendir(tasks);
    if (folder == NULL) {
        if (tasks >= 0) close(tasks);
        return 0;
    }
    for (struct dirent *entry; !live && (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.') live = is_live_thread(tasks, entry->d_name);
    closedir(folder);
    return live;
}

static int count(void) {
    DIR *processes = opendir("/proc");
    int left = 0;
    if (processes == NULL) refuse("/proc");
    for (struct dirent *entry; (entry = readdir(processes)) != NULL;) {
        int id = atoi(entry->d_name);
        if (id > 1 && id != getpid() && is_live(dirfd(processes), entry->d_name)) left++;
    }
    closedir(processes);
    return left;
}

/* One empty list could have missed a process that forks without end. */
static int end(void) {
    long deadline = now_ms() + END_MS;
    int left = 1, empty = 0;
    do {
        kill(-1, SIGKILL);
        left = count();
        empty = left == 0 ? empty + 1 : 0;
        if (empty < 2) pause_ms(KILL_AGAIN_MS);
    } while (empty < 2 && now_ms() < deadline);
    return left;
}

static int tell(int left) {
    printf("{\"left\":%d}\n", left);
    return fflush(stdout) == 0 ? 0 : 125;
}

static void limit(const char *setting) {
    static const struct {
        const char *name;
        int resource;
    } names[] = {{"core", RLIMIT_CORE},     {"data", RLIMIT_DATA},   {"fsize", RLIMIT_FSIZE},
                 {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC}, {"sigpending", RLIMIT_SIGPENDING}};
    const char *value = strchr(setting, '=');
    for (size_t i = 0; value != NULL && i < sizeof names / sizeof *names; i++) {
        if (strncmp(setting, names[i].name, value - setting) != 0 || names[i].name[value - setting] != 0) continue;
        /* gVisor enforces no limit of processes, and there the runner marks processes with it. */
        if (names[i].resource == RLIMIT_NPROC && access(GVISOR, F_OK) == 0) return;
        rlim_t most = strtoull(value + 1, NULL, 10);
        /* Not above what the runtime gave: only root may raise that. */
        struct rlimit own;
        if (getrlimit(names[i].resource, &own) == 0 && own.rlim_max < most) most = own.rlim_max;
        struct rlimit both = {.rlim_cur = most, .rlim_max = most};
        if (setrlimit(names[i].resource, &both) != 0) refuse(setting);
        return;
    }
    errno = EINVAL;
    refuse(setting);
}

/* Reads what consists of texts that end with 0 each. Returns its length; there is one more 0 behind it. */
static size_t read_texts(const char *path, char *texts, size_t most) {
    size_t length = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) refuse(path);
    for (ssize_t got; (got = read(file, texts + length, most - length)) > 0;) length += got;
    close(file);
    texts[length] = 0;
    return length;
}

/* Leaves out the variables of the container, which has those of the cluster and of whoever changes its pods. */
static void take_environment(void) {
    static char texts[MOST_ENVIRONMENT + 1];
    size_t length = read_texts(ENVIRONMENT, texts, MOST_ENVIRONMENT);
    clearenv();
    for (char *at = texts; at < texts + length; at += strlen(at) + 1)
        if (strchr(at, '=') != NULL) putenv(at);
}

static void filter(const char *name) {
    struct sock_fprog host = {sizeof HOST / sizeof *HOST, (struct sock_filter *)HOST};
    struct sock_fprog remapped = {sizeof REMAPPED / sizeof *REMAPPED, (struct sock_filter *)REMAPPED};
    struct sock_fprog *chosen = strcmp(name, "host") == 0 ? &host : strcmp(name, "remapped") == 0 ? &remapped : NULL;
    if (strcmp(name, "none") == 0) return;
    errno = EINVAL;
    if (chosen == NULL || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, chosen, 0, 0) != 0)
        refuse("the filter of system calls");
}

/* Takes on what the arguments of process 1 say, which nobody can change. It must say which filter. */
static void take_limits(void) {
    static char texts[MOST_ARGUMENTS + 1];
    char *end = texts + read_texts("/proc/1/cmdline", texts, MOST_ARGUMENTS), *chosen = NULL, *next;
    for (char *at = texts; at < end; at = next) {
        next = at + strlen(at) + 1;
        if (next >= end) break;
        if (strcmp(at, "--filter") == 0) chosen = next;
        else if (strcmp(at, "--limit") == 0) limit(next);
        else continue;
        next += strlen(next) + 1;
    }
    errno = EINVAL;
    if (chosen == NULL) refuse("process 1 has no limits");
    filter(chosen);
}

static void run(char **arguments) {
    umask(022);
    take_environment();
    for (; *arguments != NULL && strcmp(*arguments, "--env") == 0 && arguments[1] != NULL; arguments += 2)
        putenv(arguments[1]);
    errno = EINVAL;
    if (*arguments == NULL || strcmp(*arguments, "--") != 0 || *++arguments == NULL) refuse("arguments");
    if (chdir("/") != 0) refuse("/");
    take_limits();
    execvp(*arguments, arguments);
    refuse(*arguments);
}

int main(int length, char **arguments) {
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    const char *mode = length > 1 ? arguments[1] : "";
    if (strcmp(mode, "hold") == 0) hold();
    if (strcmp(mode, "run") == 0) run(arguments + 2);
    if (strcmp(mode, "end") == 0) return tell(end());
    if (strcmp(mode, "count") == 0) return tell(count());
    errno = EINVAL;
    refuse("hold, run, end or count");
}
