import { expect, test } from 'vitest';
import { Policy } from './policy.ts';

const wheel = (version: string) => `demo-${version}-py3-none-any.whl`;

function permitted(options: { allow?: string[]; deny?: string[] }, ...versions: string[]): string[] {
  const policy = new Policy({ allow: options.allow ?? [], deny: options.deny ?? [], sdists: 'deny' });
  policy.checkProject('demo');
  return versions.filter((version) => policy.permits('demo', wheel(version)));
}

test('without lists everything may be had', () => {
  expect(permitted({}, '1.0', 'odd_version')).toEqual(['1.0', 'odd_version']);
});

test('a denied name is refused, with what the operator can do', () => {
  expect(() => permitted({ deny: ['DEMO'] })).toThrow('GLOVEBOX_PACKAGES_DENY');
});

test('a name that is not allowed is refused, with what the operator can do', () => {
  expect(() => permitted({ allow: ['other'] })).toThrow('GLOVEBOX_PACKAGES_ALLOW');
});

test('specifiers allow and deny versions', () => {
  expect(permitted({ allow: ['demo>=2', 'demo==1.5'] }, '1.0', '1.5', '2.0', 'odd_version')).toEqual(['1.5', '2.0']);
  expect(permitted({ deny: ['demo<2', 'demo==2.1.*'] }, '1.0', '2.0', '2.1.3', '2.2rc1')).toEqual(['2.0', '2.2rc1']);
  expect(permitted({ allow: ['demo'], deny: ['demo<2'] }, '1.0', '2.0')).toEqual(['2.0']);
});

test('source archives need to be allowed', () => {
  const sdist = 'demo-1.0.tar.gz';
  expect(new Policy({ allow: [], deny: [], sdists: 'deny' }).permits('demo', sdist)).toBe(false);
  expect(new Policy({ allow: [], deny: [], sdists: 'allow' }).permits('demo', sdist)).toBe(true);
});

test('an entry that is no requirement stops the start', () => {
  expect(() => new Policy({ allow: ['https://x'], deny: [], sdists: 'deny' })).toThrow('URL');
  expect(() => new Policy({ allow: [], deny: ['demo; os_name == "nt"'], sdists: 'deny' })).toThrow('marker');
});
