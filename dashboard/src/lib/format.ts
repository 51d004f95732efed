const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'];

/** A size as people read it: 12.3 MB. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** @param ms a duration in milliseconds */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

const AGES = [
  ['s', 60],
  ['min', 60],
  ['h', 48],
  ['days', Number.POSITIVE_INFINITY],
] as const;
/** Seconds in each unit of age. */
const SECONDS = [1, 60, 3600, 86_400];

/** How long ago a time was, in one unit. */
export function formatAge(iso: string, now = Date.now()): string {
  const seconds = Math.max(0, now - Date.parse(iso)) / 1000;
  if (seconds < 1) return 'now';
  for (const [at, [unit, most]] of AGES.entries()) {
    const value = Math.floor(seconds / (SECONDS[at] ?? 1));
    if (value < most) return `${value} ${unit} ago`;
  }
  return '';
}

export function formatTime(iso: string): string {
  return new Date(iso).toLocaleString();
}
