import { expect, it } from 'vitest';
import { pythonNames } from './python-names.ts';

it('makes names for Python that are all different', () => {
  const names = ['list-issues', 'list_issues', 'list.issues', 'class', '3d', 'größe', '検索', '__init__', '', 'a b  c'];
  expect(pythonNames(names)).toEqual([
    ...['list_issues_2', 'list_issues', 'list_issues_3', 'class_', '_3d', 'gro_e', '_', '_init__', '__2', 'a_b_c'],
  ]);
});

it('does not take a name away from a tool that has it by itself', () => {
  expect(pythonNames(['a-b', 'a_b', 'a.b', 'a_b_2'])).toEqual(['a_b_3', 'a_b', 'a_b_4', 'a_b_2']);
});
