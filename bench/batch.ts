import type Docker from 'dockerode';
import { closeSession, openRest } from './doors.ts';
import type { Floors } from './floors.ts';

/** Of makings and removals. */
export const AT_ONCE = 8;

/** Things to make and to remove, by number. */
export interface Batch {
  readonly make: (index: number) => Promise<void>;
  readonly remove: (index: number) => Promise<void>;
}

/** Sealed containers of the engine alone. */
export function containerBatch(floors: Floors): Batch {
  const made = new Map<number, Docker.Container>();
  return {
    make: async (index) => void made.set(index, await floors.createAndStart()),
    remove: async (index) => {
      await made.get(index)?.remove({ force: true });
      made.delete(index);
    },
  };
}

/** Sessions that have run something, named by their numbers. */
export function sessionBatch(url: string, prefix: string): Batch {
  const { print } = openRest(url);
  return {
    make: (index) => print(`${prefix}-${index}`),
    remove: (index) => closeSession(url, `${prefix}-${index}`),
  };
}
