import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';

/** What an issuer answers in place of its keys. */
export type Broken = 'down' | 'not-json' | 'no-set' | 'enormous' | 'redirect' | 'other-issuer';

/** A key that signs tokens, and its public half. */
export async function makeSigner(kid: string, alg = 'ES256') {
  const { publicKey, privateKey } = await generateKeyPair(alg);
  const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' };
  const sign = (claims: JWTPayload) =>
    new SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'at+jwt' }).sign(privateKey);
  return { jwk, sign, publicKey };
}

export type Signer = Awaited<ReturnType<typeof makeSigner>>;

/** The metadata and keys of an identity provider on loopback, which can be changed and broken while it runs. */
export async function startIssuer() {
  let keys: readonly object[] = [];
  let broken: Broken | undefined;
  let fetches = 0;
  const server = createServer((request, response) => {
    const issuer = `http://${request.headers.host}`;
    if (broken === 'down') return void request.socket.destroy();
    if (request.url === '/.well-known/openid-configuration') {
      const named = broken === 'other-issuer' ? 'https://other.example' : issuer;
      return void response.end(JSON.stringify({ issuer: named, jwks_uri: `${issuer}/jwks` }));
    }
    if (request.url !== '/jwks') return void response.writeHead(404).end();
    fetches += 1;
    if (broken === 'redirect') return void response.writeHead(302, { location: '/elsewhere' }).end();
    if (broken === 'not-json') return void response.end('<html>');
    if (broken === 'no-set') return void response.end('{"keys": 1}');
    if (broken === 'enormous') return void response.end(' '.repeat(2 ** 20));
    response.end(JSON.stringify({ keys }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    issuer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    publish: (...signers: readonly Signer[]) => {
      keys = signers.map(({ jwk }) => jwk);
    },
    break: (how: Broken | undefined) => {
      broken = how;
    },
    get fetches() {
      return fetches;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
