/**
 * All system calls of Linux on x86_64 and aarch64 up to number 471. Each one is allowed, allowed for some arguments
 * only (see seccomp.ts), or dropped. Names and numbers are those of the kernel, from
 * arch/x86/entry/syscalls/syscall_64.tbl and scripts/syscall.tbl. The allowed calls are those of Docker's default
 * profile (github.com/moby/profiles) for a container without capabilities, except for the dropped ones. Names are
 * sorted within a group, and each is in exactly one group.
 */

interface AllowedGroup {
  readonly purpose: string;
  readonly names: readonly string[];
}

/** Error that the caller gets: EPERM, or ENOSYS where programs then assume an older kernel and use a fallback. */
export type Refusal = 'EPERM' | 'ENOSYS';

interface DroppedGroup {
  readonly reason: string;
  readonly refusal: Refusal;
  readonly names: readonly string[];
}

function allow(purpose: string, names: string): AllowedGroup {
  return { purpose, names: names.trim().split(/\s+/) };
}

function drop(refusal: Refusal, reason: string, names: string): DroppedGroup {
  return { reason, refusal, names: names.trim().split(/\s+/) };
}

/**
 * Calls that are refused in a user namespace. The kernel counts what they make not only for the sandbox's user, but also
 * for the owner of the namespace, often root of the host, for all sandboxes together (kernel/ucount.c). Code of one
 * sandbox could take all that the host has.
 */
export const COUNTED_FOR_OWNER: readonly string[] = ['inotify_init', 'inotify_init1'];

export const ALLOWED: readonly AllowedGroup[] = [
  allow(
    'Opening, reading, writing and positioning of files.',
    `close close_range copy_file_range creat dup dup2 dup3 fadvise64 fallocate fcntl fdatasync flock fsync ftruncate
     lseek memfd_create open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead
     readv sendfile sync_file_range truncate write writev`,
  ),
  allow(
    'Names, directories, links and metadata.',
    `access chdir chmod chown faccessat faccessat2 fchdir fchmod fchmodat fchmodat2 fchown fchownat fstat fstatfs
     futimesat getcwd getdents getdents64 lchown link linkat lstat mkdir mkdirat mknod mknodat newfstatat readlink
     readlinkat rename renameat renameat2 rmdir stat statfs statx symlink symlinkat umask unlink unlinkat utime
     utimensat utimes`,
  ),
  allow(
    'Extended attributes of files that the caller can write anyway.',
    `fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
     lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat`,
  ),
  allow(
    'Memory of the calling process.',
    `brk madvise membarrier mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync munlock munlockall munmap
     pkey_alloc pkey_free pkey_mprotect remap_file_pages`,
  ),
  allow(
    'Processes and threads: subprocess, multiprocessing, os.fork. The filter on clone refuses new namespaces.',
    `arch_prctl execve execveat exit exit_group fork get_robust_list getcpu getpid getppid gettid pidfd_open
     restart_syscall rseq set_robust_list set_tid_address vfork wait4 waitid`,
  ),
  allow(
    'User and group ids. Changing them needs capabilities that a sandbox does not have; reading them does not.',
    `capget capset getegid geteuid getgid getgroups getpgid getpgrp getresgid getresuid getsid getuid setfsgid setfsuid
     setgid setgroups setpgid setregid setresgid setresuid setreuid setsid setuid`,
  ),
  allow(
    'Signals, between processes of one user.',
    `alarm kill pause pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
     rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sigaltstack signalfd signalfd4 tgkill tkill`,
  ),
  allow('Locks between threads.', 'futex futex_requeue futex_wait futex_waitv futex_wake'),
  allow(
    'Waiting for events: select, selectors, asyncio, file watchers.',
    `epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 inotify_add_watch
     inotify_init inotify_init1 inotify_rm_watch poll ppoll pselect6 select`,
  ),
  allow(
    'Use of sockets. The filters on socket and socketpair decide which ones can be created.',
    `accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
     sendto setsockopt shutdown`,
  ),
  allow(
    'Reading clocks, sleeping, timers.',
    `clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time timer_create
     timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times`,
  ),
  allow(
    'Scheduling and limits. Raising them needs capabilities.',
    `getpriority getrlimit getrusage ioprio_get ioprio_set sched_get_priority_max sched_get_priority_min
     sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
     sched_setattr sched_setparam sched_setscheduler sched_yield setpriority setrlimit`,
  ),
  allow('Facts about the system, and random numbers.', 'getrandom sysinfo uname'),
  allow(
    "Returns from probes that the host sets. The kernel's trampoline calls them; a program cannot use them.",
    'uprobe uretprobe',
  ),
];

/** Calls that are allowed for some arguments only, which seccomp.ts lists. */
export const FILTERED: readonly string[] = ['clone', 'ioctl', 'prctl', 'prlimit64', 'socket', 'socketpair'];

export const DROPPED: readonly DroppedGroup[] = [
  drop(
    'ENOSYS',
    'Its flags are in memory, where a filter cannot read them, so it could create namespaces. glibc falls back to clone.',
    'clone3',
  ),
  drop(
    'EPERM',
    'Access to the memory, descriptors and registers of another process.',
    'kcmp pidfd_getfd process_madvise process_mrelease process_vm_readv process_vm_writev ptrace',
  ),
  drop(
    'ENOSYS',
    'A second interface to most of the kernel, which filters do not see, with many known escapes.',
    'io_uring_enter io_uring_register io_uring_setup',
  ),
  drop(
    'ENOSYS',
    'Kernel AIO has one limit for the whole host (fs.aio-max-nr), which a single sandbox could use up.',
    'io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit',
  ),
  drop(
    'EPERM',
    'Pausing the kernel during a copy, inspecting it, or running code in it: often used by exploits.',
    'bpf perf_event_open userfaultfd',
  ),
  drop('EPERM', "The kernel's key rings are not separated by container.", 'add_key keyctl request_key'),
  drop(
    'ENOSYS',
    'Pipe buffers that share pages with files and sockets (Dirty Pipe). Programs can copy instead.',
    'splice tee vmsplice',
  ),
  drop(
    'EPERM',
    'Rarely used memory management. modify_ldt and similar calls have been used to become root.',
    'ioperm iopl modify_ldt personality',
  ),
  drop('ENOSYS', 'Memory that not even the host can read, and shadow stacks.', 'map_shadow_stack memfd_secret'),
  drop(
    'EPERM',
    'Opening files by handle instead of path, which bypasses the mount namespace; watching whole file systems.',
    'fanotify_init fanotify_mark name_to_handle_at open_by_handle_at',
  ),
  drop(
    'EPERM',
    'System V and POSIX queues, semaphores and segments: no tmpfs quota limits them. multiprocessing needs none.',
    `mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget
     semop semtimedop shmat shmctl shmdt shmget`,
  ),
  drop('EPERM', 'Creating and entering namespaces.', 'setns unshare'),
  drop(
    'EPERM',
    'Mounts, and another root directory.',
    `chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root umount2`,
  ),
  drop('ENOSYS', 'Lists of mounts and namespaces outside of the sandbox.', 'listmount listns statmount'),
  drop('EPERM', "Setting the host's clock.", 'adjtimex clock_adjtime clock_settime settimeofday'),
  drop('EPERM', 'Flushing or limiting the disks of the whole host.', 'quotactl quotactl_fd sync syncfs'),
  drop(
    'EPERM',
    "Placement of memory on the host's NUMA nodes.",
    'get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node',
  ),
  drop('ENOSYS', 'Shows which files of the shared image other sandboxes read.', 'cachestat'),
  drop(
    'ENOSYS',
    'Security modules. The policy of a sandbox is set from outside.',
    `landlock_add_rule landlock_create_ruleset landlock_restrict_self lsm_get_self_attr lsm_list_modules
     lsm_set_self_attr`,
  ),
  drop(
    'EPERM',
    "A program's own filters. They are compiled in the kernel, and not needed inside this filter.",
    'seccomp',
  ),
  drop('ENOSYS', 'Too new for anything to need it.', 'file_getattr file_setattr rseq_slice_yield'),
  drop(
    'EPERM',
    'Administration of the host.',
    `acct delete_module finit_module init_module kexec_file_load kexec_load reboot setdomainname sethostname swapoff
     swapon syslog vhangup`,
  ),
  drop(
    'EPERM',
    'Obsolete calls; most are not implemented.',
    `_sysctl afs_syscall create_module epoll_ctl_old epoll_wait_old get_kernel_syms get_thread_area getpmsg
     lookup_dcookie nfsservctl putpmsg query_module security set_thread_area sysfs tuxcall uselib ustat vserver`,
  ),
];
