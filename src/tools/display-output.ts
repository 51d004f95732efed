import { z } from 'zod';
import type { Display } from '../execution/displays.ts';

const base64 = z.string().optional().describe('Base64.');

const file = z.object({ path: z.string(), size: z.number().int() });

const resultOutput = z.object({
  text: z.string().optional(),
  html: z.string().optional(),
  markdown: z.string().optional(),
  svg: z.string().optional(),
  png: base64,
  jpeg: base64,
  json: z.unknown().optional(),
  latex: z.string().optional(),
  truncated: z
    .array(z.string())
    .optional()
    .describe('Formats that were cut, scaled down or left out because they were too large.'),
  original: file
    .optional()
    .describe('A file in /workspace with the whole of what was cut or left out: the picture in full size, the html.'),
  originals: z.record(z.string(), file).optional().describe('All such files by format, if there is more than one.'),
  omitted: z.array(z.string()).optional().describe('Mime types that cannot be shown.'),
  attached: z.array(z.string()).optional().describe('Formats that come as image content beside this object.'),
});

/** Schema of the field `results`. */
export const resultsOutput = z
  .array(resultOutput)
  .optional()
  .describe('What the code displayed: display(object), figures, each in the formats that it has.');

/** Result as callers get it. */
export type ResultOutput = z.infer<typeof resultOutput>;

/** Most characters of one result in a summary. The structured output contains all of it. */
const SUMMARY_LIMIT = 10_000;

/** A result as lines of text: its picture's format and size, and the text that says most to a reader of text. */
function summarizeResult(result: Display | ResultOutput): string {
  const pictures = (['png', 'jpeg'] as const).flatMap((format) => {
    const data = result[format];
    return data === undefined ? [] : [`[image ${format}, ${tellSize(Math.floor((data.length * 3) / 4))}]`];
  });
  const facts = [
    ...pictures,
    ...(result.originals ? Object.values(result.originals) : [result.original])
      .filter((file) => file !== undefined)
      .map(({ path, size }) => `[original ${path}, ${tellSize(size)}]`),
    bestText(result),
    result.truncated?.length && `[shortened: ${result.truncated.join(', ')}]`,
    result.omitted?.length && `[cannot be shown: ${result.omitted.join(', ')}]`,
  ];
  return `[result] ${facts.filter(Boolean).join(' ')}`;
}

/** Returns results as text, each on separate lines. Empty if there are none. */
export function summarizeResults(results: readonly (Display | ResultOutput)[] | undefined): string {
  return (results ?? []).map(summarizeResult).join('\n');
}

function bestText({ text, markdown, latex, json, html, svg }: Display | ResultOutput): string {
  // An object of IPython that stands for its content has no telling repr.
  const own = text === undefined || /^<IPython\.core\.display\.\w+ object>$/.test(text) ? undefined : text;
  const best = own ?? markdown ?? latex ?? (json === undefined ? undefined : JSON.stringify(json)) ?? html ?? svg;
  const told = best ?? text ?? '';
  const shown = told.length > SUMMARY_LIMIT ? `${told.slice(0, SUMMARY_LIMIT).toWellFormed()} …` : told;
  return shown.includes('\n') ? `\n${shown}` : shown;
}

function tellSize(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1_000_000 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
