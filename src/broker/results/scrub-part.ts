import type { Scrubber } from '../../secrets/scrubbing/scrubber.ts';
import type { ToolPart } from '../types.ts';

/** A part without the secrets that are known. */
export function scrubPart(part: ToolPart, scrubber: Scrubber): ToolPart {
  switch (part.type) {
    case 'json':
      return { type: 'json', value: scrubber.json(part.value) };
    case 'text':
      return { type: 'text', text: scrubber.text(part.text) };
    case 'file': {
      const bytes = Buffer.from(part.data, 'base64');
      const clean = scrubber.bytes(bytes);
      const name = part.name === undefined ? {} : { name: scrubber.text(part.name) };
      return {
        ...part,
        ...name,
        mime: scrubber.text(part.mime),
        data: clean === bytes ? part.data : clean.toString('base64'),
      };
    }
    case 'link': {
      const name = part.name === undefined ? {} : { name: scrubber.text(part.name) };
      return { ...part, ...name, uri: scrubber.text(part.uri) };
    }
  }
}
