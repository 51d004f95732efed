import { expect, it } from 'vitest';
import { codeText } from './code-text.ts';

const CODE = 'print(1)\nx = """\n```\n"""\n';

it.each([
  ['```python\n', '```'],
  ['```py\n', '```\n\n'],
  ['```Python3 title="a.py"\n', '```'],
  ['```{python}\n', '```  '],
  ['~~~\n', '~~~'],
  ['````\n', '````'],
  ['  ```ipython\r\n', '  ```\r\n'],
])('takes off a Markdown fence around all of the code: %j', (opening, closing) => {
  expect(codeText(opening + CODE + closing)).toBe(`\n${CODE}`);
});

it('keeps the count of the lines, also of empty ones before the fence', () => {
  expect(codeText('\n\n```python\n1 / 0\n```\n')).toBe('\n\n\n1 / 0\n');
});

it('drops a byte order mark, before a fence too', () => {
  expect(codeText('\uFEFFprint(1)')).toBe('print(1)');
  expect(codeText('\uFEFF```\nprint(1)\n```')).toBe('\nprint(1)\n');
});

it.each([
  'print("""\n```python\nx\n```\n""")',
  'x = """\n```\n"""',
  '```python\nprint(1)\n',
  '```bash\nls\n```',
  '~~~x\n',
  'print("a\uFEFFb")',
  'print(1)\r\nprint(2)',
])('leaves other code as it is: %j', (code) => {
  expect(codeText(code)).toBe(code);
});

it('finds nothing in an empty fence', () => {
  expect(codeText('```python\n```').trim()).toBe('');
});

it('takes no longer for a text that is almost a fence', () => {
  const almost = `\`\`\`python\n${'``\n'.repeat(300_000)}`;
  expect(codeText(almost)).toBe(almost);
});
