import { GloveboxError } from '../errors.ts';

/** Sizes of a sandbox's writable folders, in MiB. They are in memory, so files take memory away from the code. */
export interface DiskSizes {
  readonly workspaceMb: number;
  readonly tmpMb: number;
  readonly shmMb: number;
  /** Largest single file, also a sparse one. */
  readonly largestFileMb: number;
}

const LARGEST_SHM_MB = 64;
const LARGEST_TMP_MB = 128;
/**
 * Smallest file size limit, in MiB. The limit is otherwise the size of the workspace: a larger file could only be sparse,
 * and could appear as 1 TiB to a copying client. Files in memory (memfd) may need more than a small workspace.
 */
const LEAST_FILE_LIMIT_MB = 256;

/**
 * Computes the sizes. The workspace is as large as requested; `/tmp` and `/dev/shm` shrink with the memory. An eighth of
 * the memory remains for processes, so that full disks alone never end a sandbox.
 * @throws GloveboxError `invalid_input` when a workspace of `diskMb` has no room in `memoryMb`
 */
export function diskSizesFor(memoryMb: number, diskMb: number): DiskSizes {
  const largest = largestDiskMb(memoryMb);
  if (diskMb > largest) {
    throw new GloveboxError(
      'invalid_input',
      `GLOVEBOX_DISK_MB is ${diskMb}: so large a workspace does not fit in ${memoryMb} MiB of memory.`,
      {
        hint: `The workspace is kept in memory: lower GLOVEBOX_DISK_MB to ${largest} or less, or raise GLOVEBOX_MEMORY_MB.`,
      },
    );
  }
  const shmMb = shmFor(memoryMb);
  const tmpMb = Math.min(LARGEST_TMP_MB, Math.max(1, Math.floor(diskMb / 4)), usable(memoryMb) - shmMb - diskMb);
  return { workspaceMb: diskMb, tmpMb, shmMb, largestFileMb: Math.max(LEAST_FILE_LIMIT_MB, diskMb) };
}

/** Returns the largest workspace that fits into memory of this size, in MiB. */
export function largestDiskMb(memoryMb: number): number {
  const leastTmpMb = Math.max(1, Math.floor(memoryMb / 32));
  return Math.max(0, usable(memoryMb) - shmFor(memoryMb) - leastTmpMb);
}

function usable(memoryMb: number): number {
  return Math.floor((memoryMb * 7) / 8);
}

function shmFor(memoryMb: number): number {
  return Math.min(LARGEST_SHM_MB, Math.max(1, Math.floor(memoryMb / 16)));
}

/**
 * What a sandbox holds its code to, the sizes of its disks included.
 * @throws GloveboxError `invalid_input` when they do not go together
 */
export function limitsOf<T extends { readonly memoryMb: number; readonly diskMb: number }>(settings: T): T & DiskSizes {
  return { ...settings, ...diskSizesFor(settings.memoryMb, settings.diskMb) };
}
