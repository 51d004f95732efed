import { z } from 'zod';
import { AUTH_KINDS } from '../lib/login/auth-kind.ts';
import { isProtected } from '../lib/login/protected-url.ts';
import { archives } from './archive-settings.ts';
import { about, HIGHEST_PORT, list, number, ports, text, whole } from './value-types.ts';

const DAY_S = 86_400;
const YEAR_S = 365 * DAY_S;
const MOST_MEMORY_MB = 1_073_741_824;

export const server = {
  host: about(text.default('127.0.0.1'), 'Address that the server listens on.', '0.0.0.0'),
  port: about(whole(0, HIGHEST_PORT).default(8000), 'Port that the server listens on. 0 takes a free one.', '8001'),
  also_ports: about(ports.default([]), 'More ports for the same server.', '8055,9000'),
  allowed_hosts: about(
    list.default([]),
    'Host names that requests may be addressed to, besides those of this machine.',
    'box.example,192.168.1.5',
  ),
  allowed_origins: about(
    list.default([]),
    'Web pages (origins) that may call from a browser, besides those of this machine.',
    'https://app.example',
  ),
  requests_per_minute: about(
    whole(0, 1_000_000).default(0),
    'HTTP requests that one owner may send in a minute. 0 sets no limit.',
    '600',
  ),
  task_after_s: about(
    number.min(0).max(DAY_S).default(10),
    'Seconds after which code that still runs becomes a task of MCP, for clients that can follow one.',
    '30',
  ),
  log_level: about(z.enum(['debug', 'info', 'warn', 'error']).default('info'), 'Least severe log lines shown.', 'warn'),
};

export const callers = {
  auth: about(
    z.enum(AUTH_KINDS).optional(),
    'Who may call over HTTP: anyone ("none"), or only holders of a key ("keys"), of a token of an identity provider ("jwt"), or of either ("keys,jwt"). Required to listen beyond this machine.',
    'keys',
    'none, on this machine only',
  ),
  api_keys_file: about(
    text.optional(),
    'File that holds the keys.',
    '/etc/glovebox/keys.json',
    'keys.json in state_dir',
  ),
  first_key: about(
    z
      .string()
      .regex(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/, 'letters, digits, "_" and "-", not beginning with "-"')
      .optional(),
    'Owner of a first key. A server that asks for keys and has none makes this one and prints it once.',
    'alice',
    'no key is made',
  ),
};

export const tokens = {
  jwt_issuer: about(
    z
      .string()
      .regex(/^https?:\/\/[^\s@?#]+$/, 'a URL such as https://login.example/realms/main, as "iss" of its tokens has it')
      .refine(isProtected, 'https://, or http:// on this machine')
      .optional(),
    'Identity provider whose tokens are accepted, as their claim "iss" has it.',
    'https://login.example/realms/main',
    'none; auth=jwt requires one',
  ),
  public_url: about(
    z
      .string()
      .regex(/^https?:\/\/[^\s@?#/]+\/?$/, 'a URL without a path, such as https://box.example')
      .transform((url) => url.replace(/\/$/, ''))
      .optional(),
    'URL by which clients reach this server. Those that log in are told it.',
    'https://box.example',
    'where it listens; auth=jwt requires one beyond this machine',
  ),
  jwt_audience: about(
    text.optional(),
    'Claim "aud" that a token must have.',
    'api://glovebox',
    'public_url, also with / or /mcp at its end',
  ),
  jwt_owner_claim: about(text.default('sub'), 'Claim of a token that names the owner.', 'preferred_username'),
};

export const limits = {
  max_sessions: about(whole(1, 100_000).default(100), 'Sessions with a container, of all owners together.', '500'),
  max_sessions_per_owner: about(whole(1, 100_000).default(50), 'Sessions with a container of one owner.', '10'),
  max_executions: about(
    whole(1, 100_000).optional(),
    'Executions that may run at once, of all owners together.',
    '32',
    '8 for each processor of this machine',
  ),
  max_executions_per_owner: about(
    whole(1, 100_000).optional(),
    'Executions of one owner that may run at once.',
    '8',
    'a quarter of max_executions where keys are asked for, otherwise all',
  ),
  max_waiting_per_owner: about(
    whole(0, 100_000).default(100),
    'Executions of one owner that may wait for their turn.',
    '20',
  ),
  max_memory_mb: about(
    whole(64, MOST_MEMORY_MB).optional(),
    'Memory in MiB that all sandboxes together may take. Those kept ready count.',
    '16384',
    'no limit',
  ),
  max_memory_mb_per_owner: about(
    whole(64, MOST_MEMORY_MB).optional(),
    'Memory in MiB that all sandboxes of one owner may take.',
    '4096',
    'no limit',
  ),
  max_hibernated_per_owner: about(
    whole(1, 1_000_000).default(1000),
    'Hibernated sessions that one owner may have. Beyond that the least recently used one is removed.',
    '50',
  ),
};

export const client = {
  url: about(
    z
      .string()
      .regex(/^https?:\/\/[^\s@]+$/, 'a URL such as http://localhost:8000, without a key in it')
      .optional(),
    'Server that commands such as "glovebox run" use.',
    'https://box.example',
    'the one at host and port, if it runs; else an engine of this machine',
  ),
  key: about(
    z
      .string()
      .regex(/^[\x21-\x7e]+$/, 'a key, without spaces')
      .optional(),
    'Key that these commands send to the server.',
    'gbk_0123456789',
    'none',
  ),
};

export const storage = {
  state_dir: about(
    text.optional(),
    'Folder of manifests, locks, archives and keys.',
    '/var/lib/glovebox',
    'glovebox in the XDG state directory',
  ),
  secrets_file: about(
    text.optional(),
    'File that holds the secrets of tools and hosts, encrypted. It is read again when it changes.',
    '/etc/glovebox/secrets.json',
    'secrets.json in state_dir',
  ),
  secrets_key_file: about(
    text.optional(),
    'File of the key that encrypts secrets: 32 random bytes in base64. It is made if it is not there.',
    '/etc/glovebox/secrets.key',
    'secrets.key beside secrets_file',
  ),
  instance: about(
    z
      .string()
      .regex(/^[a-z0-9][a-z0-9_-]{0,39}$/, 'lower-case letters, digits, - and _')
      .optional(),
    'Name of this server among those that share an engine.',
    'blue',
    'http-PORT; over stdio a new name each time',
  ),
  ...archives,
  archive_mb: about(
    whole(1, 1_048_576 * 64).default(10_240),
    'Space in MiB for hibernated sessions, checkpoints and snapshots, on the disk of the control plane or in the storage of archives.',
    '51200',
  ),
  archive_ttl_s: about(
    number
      .positive()
      .max(YEAR_S * 100)
      .default(7 * DAY_S),
    'Seconds after which the archive of a hibernated session that nobody uses is removed.',
    '86400',
  ),
  proxy_socket: about(text.default('/run/glovebox/engine.sock'), 'Socket of "glovebox socket-proxy".', '/tmp/gb.sock'),
};
