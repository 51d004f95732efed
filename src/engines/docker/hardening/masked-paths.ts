/**
 * Paths of /proc, /sys and /dev that a sandbox does not get to see. Naming any replaces the engine's own list, so its
 * entries stand here first: oci/defaults.go of github.com/moby/moby, with those that newer releases added.
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
  // Beyond the default: what the host is, how it was started, and what its other tenants do.
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
  // Files there are message queues, whose system calls are dropped; creating one needs only open().
  '/dev/mqueue',
];

/** The engine's defaults, for the same reason. */
export const READONLY_PATHS: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
];

/** The engine knows how many processors there are; here a number that suffices, for the runtime skips missing paths. */
function thermalPaths(processors: number): string[] {
  return Array.from({ length: processors }, (_, cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`);
}
