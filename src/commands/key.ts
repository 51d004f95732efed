import type { Config } from '../config/load.ts';
import { parsePatterns } from '../egress/policy/pattern.ts';
import { GloveboxError } from '../errors.ts';
import {
  addApprover,
  addKey,
  approversFile,
  isExpired,
  readKeys,
  revokeKeys,
  type StoredKey,
} from '../http/auth/key-file.ts';
import { takesKeys } from '../lib/login/auth-kind.ts';
import type { CommandContext } from './context.ts';

type Say = CommandContext['say'];

/** Largest value of `--expires-days`. */
const MOST_DAYS = 36_500;

/** Options of `glovebox key new`. */
export interface KeyOptions {
  readonly expiresDays?: string | undefined;
  readonly may?: string | undefined;
  readonly for?: string | undefined;
  readonly web?: readonly string[] | undefined;
}

/** Runs `glovebox key new`. Writes the key to stdout for scripts, and messages for people with `say`. */
export function makeKey(config: Config, name: string, options: KeyOptions, say: Say): void {
  const expiresDays = readDays(options.expiresDays);
  const mayApprove = readRight(options);
  const { key, stored } = mayApprove
    ? addApprover(approversFile(config.apiKeysFile), name, { expiresDays, owner: options.for })
    : addKey(config.apiKeysFile, name, expiresDays, readWeb(options));
  process.stdout.write(`${key}\n`);
  const end = stored.expires_at ? ` until ${stored.expires_at}` : '';
  say(`This is the key ${stored.id}, valid${end} for ${name}. It is not shown again.`);
  say('Send it as "Authorization: Bearer KEY" or "X-API-Key: KEY".');
  if (mayApprove) {
    const whose = stored.for === undefined ? 'everybody' : stored.for;
    say(`It answers the questions of code of ${whose} (GET /approvals, or the page), and can run nothing.`);
    return;
  }
  if (stored.web) say(tellWeb(name, stored.web, config.egress));
  if (!takesKeys(config.auth)) say('A server asks for keys if it is started with GLOVEBOX_AUTH=keys.');
}

/** Runs `glovebox key list`. */
export function listKeys(config: Config, say: Say): void {
  const keys = [
    ...readKeys(config.apiKeysFile).map((key) => describeKey(key, whatItRuns(key))),
    ...readKeys(approversFile(config.apiKeysFile), 'approve').map((key) => describeKey(key, rightOf(key))),
  ];
  if (keys.length === 0) {
    say(`There are no keys in ${config.apiKeysFile}. Make one with: glovebox key new <name>`);
    return;
  }
  const rows = [['ID', 'NAME', 'CREATED', 'MAY', 'EXPIRES'], ...keys];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  process.stdout.write(`${lines.join('\n')}\n`);
}

function whatItRuns({ web }: StoredKey): string {
  return web ? `run code, web: ${web.join(' ')}` : 'run code';
}

function rightOf({ for: owner }: StoredKey): string {
  return owner === undefined ? 'approve' : `approve for ${owner}`;
}

function describeKey(key: StoredKey, may: string): string[] {
  const end = key.expires_at ?? 'never';
  return [key.id, key.name, key.created_at, may, isExpired(key) ? `${end} (expired)` : end];
}

/** Runs `glovebox key revoke`. */
export function revoke(config: Config, nameOrId: string, say: Say): void {
  for (const { id } of revokeKeys(config.apiKeysFile, nameOrId)) say(`Revoked ${id}.`);
}

/** Whether the key is to answer questions. @throws GloveboxError `invalid_input` */
function readRight({ may, for: owner }: KeyOptions): boolean {
  if (may !== undefined && may !== 'run' && may !== 'approve') {
    throw new GloveboxError('invalid_input', `--may is ${JSON.stringify(may.slice(0, 100))}: not "run" or "approve".`, {
      hint: 'Write --may approve for a key that answers questions of approval. Every other key runs code.',
    });
  }
  if (owner !== undefined && may !== 'approve') {
    throw new GloveboxError('invalid_input', '--for says whose questions a key answers, and this key answers none.', {
      hint: 'Add --may approve, or leave --for out.',
    });
  }
  return may === 'approve';
}

/** @throws GloveboxError `invalid_input` for what is no pattern, and for a key that runs nothing */
function readWeb({ web, may }: KeyOptions): readonly string[] | undefined {
  if (web === undefined) return undefined;
  if (may === 'approve') {
    throw new GloveboxError('invalid_input', '--web narrows what code may reach, and a key that approves runs none.', {
      hint: 'Leave one of the two out.',
    });
  }
  const patterns = parsePatterns(web.flatMap((words) => words.split(',')));
  return patterns.length > 0 ? patterns.map(({ text }) => text) : ['none'];
}

function tellWeb(name: string, web: readonly string[], egress: readonly string[]): string {
  if (web[0] === 'none') return `Code of ${name} reaches no host of the web.`;
  const only = `Code of ${name} reaches only ${web.join(', ')}, of what GLOVEBOX_EGRESS names`;
  return egress.length > 0 ? `${only}.` : `${only}; here it is not set, and nothing is reached.`;
}

function readDays(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const days = Number(text);
  if (/^\d+$/.test(text) && days >= 1 && days <= MOST_DAYS) return days;
  throw new GloveboxError('invalid_input', `--expires-days is ${JSON.stringify(text)}: not a number of days.`, {
    hint: `Write a whole number from 1 to ${MOST_DAYS}, or leave it out for a key that does not expire.`,
  });
}
