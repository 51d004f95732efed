import { expect, test } from 'vitest';
import { installCommand } from '../host/install-advice.ts';
import { parseOsRelease } from '../host/os-release.ts';
import { explainUnsuitableBase } from './base-python.ts';
import { allowsExpired, chooseAptSettings, choosePackageSource } from './debian-base.ts';

const bookworm = parseOsRelease(
  'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
);
const noble = parseOsRelease('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n');

test("reads a Debian's own description", () => {
  expect(bookworm).toEqual({
    id: 'debian',
    like: '',
    versionId: '12',
    codename: 'bookworm',
    name: 'Debian GNU/Linux 12 (bookworm)',
  });
});

test("takes trixie, its updates and its security fixes from the host's own mirrors", () => {
  const targets = [
    'DEP-11 http://mirror.example/debian/ bookworm main',
    'Packages http://mirror.example/debian/ bookworm main',
    'Packages http://mirror.example/debian/ bookworm contrib',
    'Packages http://mirror.example/debian/ bookworm-updates main',
    'Packages http://mirror.example/debian/ bookworm-backports main',
    'Packages http://security.example/debian-security/ bookworm-security main',
    'Packages http://vendor.example/apt/ stable main',
  ].join('\n');
  expect(choosePackageSource(bookworm, targets)).toEqual({
    release: 'trixie',
    sources: [
      'deb http://mirror.example/debian/ trixie main',
      'deb http://mirror.example/debian/ trixie-updates main',
      'deb http://security.example/debian-security/ trixie-security main',
    ],
  });
});

test('a frozen mirror is taken past its time where apt takes it so', () => {
  const targets = [
    'Packages http://snapshot.example/20250520/ bookworm main /etc/apt/sources.list:1',
    'Packages http://mirror.example/ bookworm-updates main /etc/apt/sources.list:2',
  ].join('\n');
  expect(choosePackageSource(bookworm, targets, (entry) => entry.endsWith(':1'))?.sources).toEqual([
    'deb [check-valid-until=no] http://snapshot.example/20250520/ trixie main',
    'deb http://mirror.example/ trixie-updates main',
  ]);
  const dump =
    'Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "0";\nAcquire::Languages "none";\nAPT::X "";\n';
  expect(chooseAptSettings(dump)).toEqual(['Acquire::Check-Valid-Until "false";', 'Acquire::Check-Date "0";']);
});

test.each([
  ['deb [check-valid-until=no] http://a/ x main', 1, false, true],
  ['# first\n deb [arch=amd64 Check-Valid-Until=false trusted=yes] http://a/ x main', 2, false, true],
  ['deb [check-valid-until=yes] http://a/ x main', 1, false, false],
  ['deb http://a/check-valid-until=no x main', 1, false, false],
  ['Types: deb\nSuites: x\n\n\n# two\nTypes: deb\nSuites: y\nCheck-Valid-Until: no\n', 2, true, true],
  ['Types: deb\nSuites: x\n\nTypes: deb\nCheck-Valid-Until: no\n', 1, true, false],
  ['Types: deb\n', 7, true, false],
])('whether %j takes a mirror past its time', (text, number, isDeb822, expected) => {
  expect(allowsExpired(text, number, isDeb822)).toBe(expected);
});

test('only the words of the check itself say that a base is unfit', () => {
  expect(explainUnsuitableBase('b:1', 'step\nUNFIT: has Python 3.11.2\n')?.message).toContain(
    'b:1 has Python 3.11.2, but',
  );
  expect(explainUnsuitableBase('b:1', 'ERROR: no UNFIT: has Python 3.11.2\n')).toBeUndefined();
});

test('takes the release of an Ubuntu that is new enough, and refuses an older one', () => {
  const targets = 'Packages http://m.example/ubuntu/ noble main\nPackages http://m.example/ubuntu/ noble universe\n';
  expect(choosePackageSource(noble, targets)).toEqual({
    release: 'noble',
    sources: ['deb http://m.example/ubuntu/ noble main universe'],
  });
  expect(choosePackageSource({ ...noble, versionId: '22.04', codename: 'jammy' }, targets)).toBeUndefined();
});

test('has no source where apt has no mirror of the release', () => {
  expect(choosePackageSource(bookworm, 'Packages http://vendor.example/apt/ stable main')).toBeUndefined();
});

test('names the command of the platform', () => {
  expect(installCommand(bookworm)).toContain('apt-get install -y docker.io');
  expect(installCommand(parseOsRelease('ID=fedora'))).toContain('dnf install -y moby-engine');
  expect(installCommand(parseOsRelease('ID=rocky\nID_LIKE="rhel centos fedora"'))).toContain('dnf');
  expect(installCommand(parseOsRelease('ID=manjaro\nID_LIKE=arch'))).toContain('pacman');
  expect(installCommand(undefined)).toContain('Docker 20.10');
});
