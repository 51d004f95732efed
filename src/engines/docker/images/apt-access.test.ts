import { expect, test } from 'vitest';
import { describeAptAccess, explainMissingTools } from './apt-access.ts';

function read(files: ReturnType<typeof describeAptAccess>) {
  return Object.fromEntries(files.map(({ name, content }) => [name, content.toString()]));
}

test('a build gets the mirrors of the host and how they are reached, but no path of the host', () => {
  const settings = [
    'Acquire::http::Proxy "http://proxy.example:3128";',
    'Acquire::https::CaInfo "/etc/ssl/private-ca.pem";',
    'Acquire::https::SslKey "/etc/ssl/key.pem";',
    'Acquire::Check-Valid-Until "false";',
    'APT::Architecture "amd64";',
  ];
  const sources = ['deb http://mirror.example/debian/ trixie main'];
  expect(read(describeAptAccess({ sources }, settings))).toEqual({
    'access/sources.list': 'deb http://mirror.example/debian/ trixie main\n',
    'access/apt.conf': 'Acquire::http::Proxy "http://proxy.example:3128";\nAcquire::Check-Valid-Until "false";\n',
  });
});

test('a host without apt leaves a build to the mirrors of its base', () => {
  expect(read(describeAptAccess(undefined, []))).toEqual({ 'access/sources.list': '', 'access/apt.conf': '' });
});

test('only a line of the script itself says that the tools are missing', () => {
  expect(explainMissingTools('a\nWITHOUT TOOLS: the base image has no apt\nb\n')).toBe('the base image has no apt');
  expect(explainMissingTools('echo WITHOUT TOOLS: x\n')).toBeUndefined();
});
