/**
 * Every system call of Linux on x86_64 and aarch64 up to number 471, decided: allowed, allowed for some arguments
 * only (see seccomp.ts), or dropped. Names and numbers are the kernel's own, from
 * arch/x86/entry/syscalls/syscall_64.tbl and scripts/syscall.tbl. The allowed ones are what Docker's default profile
 * (github.com/moby/profiles) gives a container without capabilities, less what is listed as dropped.
 * Names are sorted within a group; a name stands in exactly one group.
 */

interface AllowedGroup {
  readonly purpose: string;
  readonly names: readonly string[];
}

/** What the caller sees: EPERM, or ENOSYS where programs take that as "an older kernel" and do without. */
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

export const ALLOWED: readonly AllowedGroup[] = [
  allow(
    'Open, read, write and position: the body of every program.',
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
    'Extended attributes, on files that the caller can write anyway.',
    `fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
     lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat`,
  ),
  allow(
    'Memory of the calling process.',
    `brk madvise membarrier mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync munlock munlockall munmap
     pkey_alloc pkey_free pkey_mprotect remap_file_pages`,
  ),
  allow(
    'Processes and threads: subprocess, multiprocessing, os.fork. Namespaces are what the filter on clone refuses.',
    `arch_prctl execve execveat exit exit_group fork get_robust_list getcpu getpid getppid gettid pidfd_open
     restart_syscall rseq set_robust_list set_tid_address vfork wait4 waitid`,
  ),
  allow(
    'Identity. Changing it takes capabilities that a sandbox does not have; asking does not.',
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
    'Sockets, once made: which ones can be made is what the filters on socket and socketpair say.',
    `accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
     sendto setsockopt shutdown`,
  ),
  allow(
    'Reading clocks, sleeping, timers.',
    `clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time timer_create
     timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times`,
  ),
  allow(
    'Scheduling and limits; raising either takes capabilities.',
    `getpriority getrlimit getrusage ioprio_get ioprio_set sched_get_priority_max sched_get_priority_min
     sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
     sched_setattr sched_setparam sched_setscheduler sched_yield setpriority setrlimit`,
  ),
  allow('Facts about the system, and random numbers.', 'getrandom sysinfo uname'),
  allow(
    "Return paths of probes that the host sets: called by the kernel's own trampoline, of no use to a program.",
    'uprobe uretprobe',
  ),
];

/** Allowed for some arguments only: seccomp.ts says for which. */
export const FILTERED: readonly string[] = ['clone', 'ioctl', 'prctl', 'prlimit64', 'socket', 'socketpair'];

export const DROPPED: readonly DroppedGroup[] = [
  drop(
    'ENOSYS',
    'Its flags stand in memory, where a filter cannot read them: new namespaces would pass. glibc falls back to clone.',
    'clone3',
  ),
  drop(
    'EPERM',
    'Reach into another process: its memory, its descriptors, its registers.',
    'kcmp pidfd_getfd process_madvise process_mrelease process_vm_readv process_vm_writev ptrace',
  ),
  drop(
    'ENOSYS',
    'A second way into most of the kernel that no filter sees, with a long record of escapes.',
    'io_uring_enter io_uring_register io_uring_setup',
  ),
  drop(
    'ENOSYS',
    'Kernel AIO counts against one limit of the whole host (fs.aio-max-nr), which one sandbox could use up.',
    'io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit',
  ),
  drop(
    'EPERM',
    'Stop the kernel in the middle of a copy, look into it, or run code in it: the tools of exploits.',
    'bpf perf_event_open userfaultfd',
  ),
  drop('EPERM', "The kernel's key rings are not separated by container.", 'add_key keyctl request_key'),
  drop(
    'ENOSYS',
    'Pipe buffers that share pages with files and sockets: Dirty Pipe. Copies do as well.',
    'splice tee vmsplice',
  ),
  drop(
    'EPERM',
    'Rarely used corners of memory management; modify_ldt and its like have been the way to root before.',
    'ioperm iopl modify_ldt personality',
  ),
  drop('ENOSYS', 'Memory that not even the host can look into, and shadow stacks.', 'map_shadow_stack memfd_secret'),
  drop(
    'EPERM',
    'Open files by number instead of by path, past the walls of the mount namespace; watch whole file systems.',
    'fanotify_init fanotify_mark name_to_handle_at open_by_handle_at',
  ),
  drop(
    'EPERM',
    'System V and POSIX queues, semaphores and segments: no tmpfs quota holds them. multiprocessing needs none.',
    `mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget
     semop semtimedop shmat shmctl shmdt shmget`,
  ),
  drop('EPERM', 'New namespaces, and entering others.', 'setns unshare'),
  drop(
    'EPERM',
    'Mounts, and another root directory.',
    `chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root umount2`,
  ),
  drop(
    'ENOSYS',
    "What is mounted, and which namespaces there are, beyond the sandbox's own view.",
    'listmount listns statmount',
  ),
  drop('EPERM', "The clock is the host's.", 'adjtimex clock_adjtime clock_settime settimeofday'),
  drop('EPERM', 'Writes out, or limits, the disks of the whole host.', 'quotactl quotactl_fd sync syncfs'),
  drop(
    'EPERM',
    "Where the host's memory lies.",
    'get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node',
  ),
  drop('ENOSYS', 'Says which files of the shared image the neighbours read.', 'cachestat'),
  drop(
    'ENOSYS',
    'Security modules: the policy of a sandbox is set from outside.',
    `landlock_add_rule landlock_create_ruleset landlock_restrict_self lsm_get_self_attr lsm_list_modules
     lsm_set_self_attr`,
  ),
  drop('EPERM', "Filters of a program's own: compiled in the kernel, and never needed inside this one.", 'seccomp'),
  drop('ENOSYS', 'Too new for anything to need it.', 'file_getattr file_setattr rseq_slice_yield'),
  drop(
    'EPERM',
    'The administration of the host.',
    `acct delete_module finit_module init_module kexec_file_load kexec_load reboot setdomainname sethostname swapoff
     swapon syslog vhangup`,
  ),
  drop(
    'EPERM',
    'Left over from other times; most are not even implemented.',
    `_sysctl afs_syscall create_module epoll_ctl_old epoll_wait_old get_kernel_syms get_thread_area getpmsg
     lookup_dcookie nfsservctl putpmsg query_module security set_thread_area sysfs tuxcall uselib ustat vserver`,
  ),
];
