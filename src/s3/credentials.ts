import { readFileSync, statSync } from 'node:fs';
import { GloveboxError } from '../errors.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface CredentialSource {
  /** File in the format of `~/.aws/credentials`. It is read again when it changes. */
  readonly file?: string | undefined;
  /** Credentials of the environment, which count where there is no file. */
  readonly environment?: Partial<Credentials> | undefined;
}

/**
 * Returns what gives the current credentials.
 * @throws GloveboxError `invalid_input` when there are none
 */
export function openCredentials({ file, environment }: CredentialSource): () => Credentials {
  if (file === undefined) {
    const fixed = complete(environment ?? {}, 'the environment');
    return () => fixed;
  }
  let [version, current] = ['', readFile(file)];
  return () => {
    const now = versionOf(file);
    // A file that is being replaced is looked at again by the next request.
    if (now !== undefined && now !== version) [version, current] = [now, readFile(file)];
    return current;
  };
}

function versionOf(file: string): string | undefined {
  const stats = statSync(file, { bigint: true, throwIfNoEntry: false });
  return stats && `${stats.ino}.${stats.mtimeNs}.${stats.size}`;
}

function readFile(file: string): Credentials {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new GloveboxError('invalid_input', `The file of credentials ${file} cannot be read.`, {
      hint: 'Correct GLOVEBOX_ARCHIVE_CREDENTIALS_FILE, or let this server read the file.',
      cause,
    });
  }
  const values = new Map(
    [...text.matchAll(/^\s*(aws_[a-z_]+)\s*=\s*(\S+)\s*$/gim)].map(([, name = '', value = '']) => [
      name.toLowerCase(),
      value,
    ]),
  );
  return complete(
    {
      accessKeyId: values.get('aws_access_key_id') ?? '',
      secretAccessKey: values.get('aws_secret_access_key') ?? '',
      sessionToken: values.get('aws_session_token'),
    },
    file,
  );
}

function complete({ accessKeyId, secretAccessKey, sessionToken }: Partial<Credentials>, where: string): Credentials {
  if (accessKeyId && secretAccessKey) return { accessKeyId, secretAccessKey, sessionToken };
  throw new GloveboxError('invalid_input', `There are no credentials for the storage of archives in ${where}.`, {
    hint: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file with aws_access_key_id and aws_secret_access_key by GLOVEBOX_ARCHIVE_CREDENTIALS_FILE.',
  });
}
