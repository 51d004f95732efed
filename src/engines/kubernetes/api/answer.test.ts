import { expect, test } from 'vitest';
import { ApiRefusal, explain, refusalOf, statusOf } from './answer.ts';

/** Words of a real API server, Kubernetes 1.35. */
const REFUSALS: readonly (readonly [number, string, object])[] = [
  [
    403,
    'pods "glovebox-1" is forbidden: exceeded quota: few, requested: pods=1, used: pods=3, limited: pods=3',
    { code: 'capacity_exceeded', hint: expect.stringContaining('ResourceQuota') },
  ],
  [
    403,
    'pods "glovebox-1" is forbidden: User "system:serviceaccount:a:b" cannot create resource "pods/exec" in API group "" in the namespace "a"',
    {
      message: '"system:serviceaccount:a:b" may not create pods/exec in the namespace "a".',
      hint: 'Bind a Role with the verb "create" on "pods/exec" in the namespace "a" to "system:serviceaccount:a:b".',
    },
  ],
  [
    403,
    'pods is forbidden: User "system:anonymous" cannot create resource "pods" in API group "" in the namespace "a"',
    {
      message: 'The API server does not know who asks: the context "a" of the kubeconfig shows it no credentials.',
      hint: expect.stringContaining('Grant nothing'),
    },
  ],
  [
    403,
    'namespaces "a" is forbidden: User "b" cannot list resource "nodes" in API group "" at the cluster scope',
    { message: '"b" may not list nodes in the whole cluster.', hint: expect.stringContaining('ClusterRole') },
  ],
  [
    403,
    'pods "glovebox-1" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
    { message: expect.stringContaining('does not admit the sandbox'), hint: expect.stringContaining('policy') },
  ],
  [
    422,
    "pods \"glovebox-1\" is forbidden: ValidatingAdmissionPolicy 'sandboxes' with binding 'sandboxes' denied request: no",
    { message: expect.stringContaining('does not admit the sandbox') },
  ],
  [
    403,
    'pods "glovebox-1" is forbidden: pod rejected: RuntimeClass "kata" not found',
    { hint: expect.stringContaining('GLOVEBOX_RUNTIME') },
  ],
  [422, 'Pod "x" is invalid: spec.x: Invalid value', { message: expect.stringContaining('refused (422, Odd)') }],
  [409, 'pods "x" already exists', { code: 'engine_unavailable', message: expect.stringContaining('409') }],
  [404, 'pods "x" not found', { code: 'sandbox_lost' }],
  [404, 'namespaces "x" not found', { hint: expect.stringContaining('kubectl create namespace x') }],
  [503, 'etcdserver: request timed out', { hint: expect.stringContaining('etcd') }],
];

test.each(REFUSALS)('%i %s', (status, message, expected) => {
  const [kind] = message.split(' ');
  const body = JSON.stringify({ kind: 'Status', message, reason: 'Odd', details: { kind, name: 'x' } });
  const error = explain(new ApiRefusal(status, body), 'the context "a" of the kubeconfig');
  expect(error).toMatchObject({ code: 'engine_unavailable', ...expected });
  expect(statusOf(error)).toBe(status);
  expect(refusalOf(error)?.message).toBe(message);
});

test('what stands in front of an API server refuses in its own words', () => {
  const error = explain(new ApiRefusal(502, '<html>Bad Gateway</html>\n', '7'), 'x');
  expect(error.message).toContain('<html>Bad Gateway</html>');
  expect(error.retryAfterS).toBe(7);
});

test('each attempt of a connection that failed is named', () => {
  const error = explain(new AggregateError([new Error('ECONNREFUSED ::1'), new Error('ECONNREFUSED 127.0.0.1')]), 'x');
  expect(error.message).toContain('ECONNREFUSED ::1, ECONNREFUSED 127.0.0.1');
  expect(statusOf(error)).toBeUndefined();
});

test.each([
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unable to verify the first certificate; if the root CA is installed, try this'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed certificate'],
  ['CERT_HAS_EXPIRED', 'certificate has expired'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', "Hostname/IP does not match certificate's altnames"],
])('a certificate that is not trusted (%s) is no server that does not answer', (code, message) => {
  const error = explain(Object.assign(new Error(message), { code }), 'the context "a" of the kubeconfig');
  expect(error.message).toBe(`The certificate of the API server is not trusted: ${message.split(';')[0]}.`);
  expect(error.hint).toContain('the context "a" of the kubeconfig names the right server');
});
