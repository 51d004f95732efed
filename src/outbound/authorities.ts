import { existsSync, readFileSync } from 'node:fs';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { GloveboxError } from '../errors.ts';

/** Files in which Linux distributions keep the trusted certificate authorities. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** Finds the file of certificate authorities that this host trusts: the given one, or else that of the system. */
export function findAuthorities(caFile: string | undefined): string | undefined {
  return caFile ?? SYSTEM_BUNDLES.find((bundle) => existsSync(bundle));
}

/**
 * Loads the certificate authorities that TLS trusts: those of Node, and those of a PEM file.
 * @throws GloveboxError `invalid_input` when the file cannot be read
 */
export function loadAuthorities(caFile: string | undefined): SecureContext {
  return createSecureContext(caFile ? { ca: readAuthorities(caFile) } : {});
}

function readAuthorities(caFile: string): string[] {
  try {
    return [...rootCertificates, readFileSync(caFile, 'utf8')];
  } catch (cause) {
    throw new GloveboxError('invalid_input', `The file of certificate authorities ${caFile} cannot be read.`, {
      hint: 'Set SSL_CERT_FILE to a readable PEM file, or unset it.',
      cause,
    });
  }
}
