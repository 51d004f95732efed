import { writeFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import type { PictureProtocol } from '../../config/host-environment.ts';
import type { Display } from '../../execution/displays.ts';

/** Most characters of base64 in one sequence of kitty's protocol. */
const KITTY_CHUNK = 4096;
/** Most numbers that are tried for the name of a picture. */
const MOST_NUMBERS = 10_000;

/** Picture among what a program displayed. */
export interface Picture {
  readonly bytes: Buffer;
  readonly extension: 'png' | 'jpg' | 'svg';
}

/** Returns the picture of a display, if it has one. */
export function pictureOf({ png, jpeg, svg }: Display): Picture | undefined {
  if (png !== undefined) return { bytes: Buffer.from(png, 'base64'), extension: 'png' };
  if (jpeg !== undefined) return { bytes: Buffer.from(jpeg, 'base64'), extension: 'jpg' };
  return svg === undefined ? undefined : { bytes: Buffer.from(svg), extension: 'svg' };
}

/** Writes pictures into a folder, under names that no file has yet: `chart-1.png` for the first one of `chart.py`. */
export class PictureFiles {
  readonly #folder: string;
  readonly #name: string;
  #number = 0;

  /** @param program path of the program, or undefined for one without a file */
  constructor(folder: string, program: string | undefined) {
    this.#folder = folder;
    this.#name = program === undefined ? 'glovebox' : basename(program, extname(program)) || 'glovebox';
  }

  /** Writes a picture. @returns its path */
  write({ bytes, extension }: Picture): string {
    for (;;) {
      this.#number += 1;
      const path = join(this.#folder, `${this.#name}-${this.#number}.${extension}`);
      try {
        writeFileSync(path, bytes, { flag: 'wx' });
        return path;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || this.#number >= MOST_NUMBERS) throw error;
      }
    }
  }
}

/** The sequences by which a terminal shows a picture. Undefined if it cannot show one of this format. */
export function showOnTerminal({ bytes, extension }: Picture, protocol: PictureProtocol | undefined) {
  const base64 = bytes.toString('base64');
  if (extension === 'svg' || protocol === undefined) return undefined;
  if (protocol === 'iterm') return `\x1b]1337;File=inline=1;size=${bytes.length}:${base64}\x07\n`;
  if (extension !== 'png') return undefined;
  const chunks = base64.match(new RegExp(`.{1,${KITTY_CHUNK}}`, 'g')) ?? [];
  const parts = chunks.map((chunk, at) => {
    const keys = [...(at === 0 ? ['f=100', 'a=T'] : []), `m=${at === chunks.length - 1 ? 0 : 1}`];
    return `\x1b_G${keys.join(',')};${chunk}\x1b\\`;
  });
  return `${parts.join('')}\n`;
}
