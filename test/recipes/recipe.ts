import { readdirSync, readFileSync } from 'node:fs';

const FOLDER = new URL('../../docs/recipes/', import.meta.url);

/** A page of docs/recipes: the block to paste, and what one then sees. */
export interface Recipe {
  /** Name of the page, without its suffix. */
  readonly name: string;
  /** `sh`, `python` or `js`. */
  readonly language: string;
  readonly block: string;
  /** What is written then, line by line. Undefined if it is not a text. */
  readonly seen?: string;
}

/** Names of all pages but the list. */
export function recipeNames(): string[] {
  return readdirSync(FOLDER)
    .filter((file) => file !== 'README.md')
    .map((file) => file.replace(/\.md$/, ''))
    .toSorted();
}

export function readRecipe(name: string): Recipe {
  const page = readFileSync(new URL(`${name}.md`, FOLDER), 'utf8');
  const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
    language,
    text,
  }));
  const [first] = blocks;
  if (!first) throw new Error(`${name}.md has no block to paste.`);
  const seen = blocks.find(({ language }) => language === 'text')?.text;
  return { name, language: first.language, block: first.text, ...(seen === undefined ? {} : { seen }) };
}

/**
 * Whether a text has the lines that a page says one sees, in their order and with others between them; `…` stands for
 * anything on a line. Returns the first that is missing.
 */
export function firstUnseen(seen: string, text: string): string | undefined {
  let rest = text;
  return seen
    .trim()
    .split('\n')
    .find((line) => {
      const parts = line.split('…').map((part) =>
        part
          .trim()
          .replaceAll(/[^\w\s]/g, '\\$&')
          .replaceAll(/\s+/g, '\\s+'),
      );
      const found = new RegExp(parts.join('.*')).exec(rest);
      if (found) rest = rest.slice(found.index + found[0].length);
      return !found;
    });
}
