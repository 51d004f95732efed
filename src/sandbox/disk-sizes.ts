import { GloveboxError } from '../errors.ts';

/** How a sandbox's writable space is cut, in MiB. All of it is memory: what is full there is missing for the code. */
export interface DiskSizes {
  readonly workspaceMb: number;
  readonly tmpMb: number;
  readonly shmMb: number;
  /** The longest single file, sparse ones too. */
  readonly largestFileMb: number;
}

const LARGEST_SHM_MB = 64;
const LARGEST_TMP_MB = 128;
/**
 * A file may be as long as the workspace is large: more could only be a hole, made to look like 1 TiB to whoever
 * copies it out. With a smaller workspace 256 MiB stay allowed, for files in memory (memfd) that no disk size limits.
 */
const LEAST_FILE_LIMIT_MB = 256;

/**
 * The workspace as large as asked; `/tmp` and `/dev/shm` shrink with the memory. Together they leave an eighth of it
 * to processes, so that filled disks alone never end a sandbox.
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

/** The largest workspace that memory of this size can hold. */
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
