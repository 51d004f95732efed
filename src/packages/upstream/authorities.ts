import { readFileSync } from 'node:fs';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { GloveboxError } from '../../errors.ts';

/** Whom TLS trusts: Node's authorities, and those of a PEM file. @throws GloveboxError `invalid_input` */
export function loadAuthorities(caFile: string | undefined): SecureContext {
  return createSecureContext(caFile ? { ca: trusted(caFile) } : {});
}

function trusted(caFile: string): string[] {
  try {
    return [...rootCertificates, readFileSync(caFile, 'utf8')];
  } catch (cause) {
    throw new GloveboxError('invalid_input', `The certificate authorities in ${caFile} cannot be read.`, {
      hint: 'Name a readable PEM file in SSL_CERT_FILE, or unset it.',
      cause,
    });
  }
}
