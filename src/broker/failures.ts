import { nearest } from '../lib/nearest.ts';
import type { CatalogTool } from './catalog/catalog.ts';
import { ToolFailure } from './types.ts';

/** @throws ToolFailure with the nearest name of those that may be used */
export function unknownServer(name: string, names: readonly string[]): never {
  const shown = JSON.stringify(name.slice(0, 64));
  const near = nearest(name.slice(0, 64), names);
  const meant = near ? `Did you mean ${near}?` : `There ${names.length > 0 ? `are: ${names.join(', ')}` : 'are none'}.`;
  throw new ToolFailure('denied', `There is no server ${shown} that you may use.`, meant);
}

export function tooLate(server: string): ToolFailure {
  return new ToolFailure('timeout', `${server} does not answer.`, 'Look whether it runs, and at its "url".');
}

export function notLinked(server: string): ToolFailure {
  const message = `${server} has not linked to that address in this session.`;
  return new ToolFailure('denied', message, 'Read only what a result of this session links to.');
}

export function changedMeanwhile(server: string, tool: string): ToolFailure {
  const message = `${server} has changed its tool ${tool} just now.`;
  return new ToolFailure('denied', message, 'Look at the tool again with help(), then call it again.');
}

/** A person who was asked has not allowed a tool that is not what it was. */
export function changed(server: string, { name, hash }: CatalogTool): ToolFailure {
  return new ToolFailure(
    'denied',
    `${server} has changed its tool ${name} since it was trusted, and nobody has allowed it as it is now.`,
    `The operator looks at it. To trust it: remove ${name} from tool-pins/${server}.json in the state directory, or write "pin": {"${name}": "${hash}"} in the file of GLOVEBOX_TOOLS.`,
  );
}

export function notApproved(tool: string, answer: 'refused' | 'timed_out' | 'unavailable'): ToolFailure {
  switch (answer) {
    case 'refused': {
      const hint = 'Do not call it again in this way. Ask what they want instead.';
      return new ToolFailure('approval_refused', `A person has refused the call of ${tool}.`, hint);
    }
    case 'timed_out': {
      const hint = 'Go on without it, or call again when somebody is there.';
      return new ToolFailure('approval_refused', `Nobody has allowed the call of ${tool} in time.`, hint);
    }
    case 'unavailable':
      return new ToolFailure(
        'approval_unavailable',
        `A person must allow the call of ${tool}, and there is nobody to ask.`,
        'The operator sets up who is asked (docs/approvals.md), or says "approve": "never" for this tool, or "trusted": true if the server may say which tools only read.',
      );
  }
}
