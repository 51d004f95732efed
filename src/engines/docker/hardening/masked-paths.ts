/**
 * Paths of /proc, /sys and /dev that are hidden in a sandbox. This list replaces the engine's default list, so it
 * begins with the same entries: oci/defaults.go of github.com/moby/moby, with those of newer releases.
 */
export const MASKED_PATHS: readonly string[] = [
  ...thermalPaths(128),
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
  // Additional entries: the host's hardware and configuration, and the activity of other containers.
  '/proc/cmdline',
  '/proc/config.gz',
  '/proc/diskstats',
  '/proc/kallsyms',
  '/proc/key-users',
  '/proc/locks',
  '/proc/modules',
  '/proc/pressure',
  '/proc/schedstat',
  '/proc/softirqs',
  '/proc/sysvipc',
  '/sys/devices/virtual/dmi',
  '/sys/kernel',
  '/sys/module',
  // Files there are message queues. Their system calls are refused, but open() alone could create one.
  '/dev/mqueue',
];

/** Read-only paths. They begin with the engine's defaults, as this list replaces the default list. */
export const READONLY_PATHS: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
  // With control groups of version 1, crun mounts a tmpfs here in which every user may write.
  '/sys/fs/cgroup',
];

/** Paths for a number of processors that is always large enough. The runtime skips missing paths. */
function thermalPaths(processors: number): string[] {
  return Array.from({ length: processors }, (_, cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`);
}
