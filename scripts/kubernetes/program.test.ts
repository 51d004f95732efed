import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { linkerFlags } from './program.ts';

test('the program calls itself what its module requires', () => {
  const goMod = readFileSync(new URL('program/go.mod', import.meta.url), 'utf8');
  const flags = linkerFlags(goMod);
  const version = /k8s\.io\/kubernetes (v1\.\d+\.\d+)/.exec(goMod)?.[1];
  expect(version).toBeDefined();
  expect(flags).toContain(`-X k8s.io/component-base/version.gitVersion=${version}`);
  expect(flags).toContain(`-X k8s.io/client-go/pkg/version.gitVersion=${version}`);
});

test('a module without Kubernetes is refused', () => {
  expect(() => linkerFlags('module kube\nrequire k8s.io/kubernetes-other v1.2.3\n')).toThrow('names no version');
});
