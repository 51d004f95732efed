import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt, importPKCS8, SignJWT } from 'jose';
import type { Layout } from '../../scripts/kubernetes/layout.ts';
import { runCommand } from '../../src/lib/run-command.ts';
import type { Certificate } from './certificate.ts';

/** What an API server allows for clocks that differ, in seconds: a token counts for that much longer. */
const LEEWAY_S = 60;

/**
 * A token as an API server has issued it, but for its end: no API server issues one for less than ten minutes.
 * @param livesS seconds in which the API server of the lab takes it
 */
export async function shortenToken(token: string, livesS: number, layout: Layout): Promise<string> {
  const claims = decodeJwt(token);
  const key = await importPKCS8(readFileSync(layout.key('tokens'), 'utf8'), 'ES256');
  const end = Math.ceil(Date.now() / 1000) + livesS - LEEWAY_S;
  return await new SignJWT({ ...claims, exp: end }).setProtectedHeader({ alg: 'ES256' }).sign(key);
}

/**
 * A certificate of the lab's authority for an administrator.
 * @param livesS seconds in which it is valid
 */
export async function makeAdminCertificate(livesS: number, layout: Layout): Promise<Certificate> {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-short-lived-'));
  try {
    const [key, request, cert, config] = ['key', 'request', 'cert', 'config'].map((name) => join(folder, name));
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const subject = ['-subj', '/O=system:masters/CN=short-lived'];
    await openssl('req', '-new', ...kind, ...subject, '-keyout', key ?? '', '-out', request ?? '');
    writeFileSync(config ?? '', AUTHORITY.replaceAll('FOLDER', folder));
    writeFileSync(join(folder, 'index'), '');
    writeFileSync(join(folder, 'serial'), randomBytes(8).toString('hex'));
    const authority = ['-cert', layout.certificate('ca'), '-keyfile', layout.key('ca')];
    const times = ['-startdate', timeAfter(-60), '-enddate', timeAfter(livesS)];
    const files = ['-in', request ?? '', '-out', cert ?? '', '-notext'];
    await openssl('ca', '-batch', '-config', config ?? '', ...authority, ...times, ...files);
    return { cert: readFileSync(cert ?? '', 'utf8'), key: readFileSync(key ?? '', 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What openssl wants of an authority that signs for a given time. */
const AUTHORITY = `
[ca]
default_ca = lab
[lab]
database = FOLDER/index
serial = FOLDER/serial
new_certs_dir = FOLDER
default_md = sha256
policy = any
x509_extensions = client
[any]
organizationName = optional
commonName = supplied
[client]
extendedKeyUsage = clientAuth
`;

/** A time as ASN.1 has it. */
function timeAfter(seconds: number): string {
  const time = new Date(Date.now() + seconds * 1000).toISOString();
  return `${time.slice(0, 19).replaceAll(/\D/g, '')}Z`;
}

async function openssl(...args: string[]): Promise<void> {
  const { code, stderr } = await runCommand('openssl', args);
  if (code !== 0) throw new Error(`"openssl ${args[0]}" failed: ${stderr.trim()}`);
}
