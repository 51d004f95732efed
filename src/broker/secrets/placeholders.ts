import { SECRET_NAME } from '../../secrets/secret-name.ts';

const PLACEHOLDER = /\$\{secret:([^}]*)\}/g;

/** Names of the secrets that a text asks for. */
export function secretsNamedIn(text: string): string[] {
  return [...text.matchAll(PLACEHOLDER)].map(([, name = '']) => name);
}

/** Puts the values of secrets into a text. */
export function fillIn(text: string, secretOf: (name: string) => string): string {
  return text.replace(PLACEHOLDER, (_, name: string) => secretOf(name));
}

/** What is wrong with the placeholders of a text, and what to do. Undefined if nothing is. */
export function faultOfPlaceholders(text: string): [said: string, hint: string] | undefined {
  const wrong = secretsNamedIn(text).find((name) => !SECRET_NAME.test(name));
  if (wrong !== undefined)
    return [
      `${JSON.stringify(wrong.slice(0, 64))} is no name for a secret`,
      'Use up to 64 letters, digits and "_", not beginning with a digit.',
    ];
  // Other programs fill in variables of the environment in this form. Here that would send the text as it is.
  if (/\$\{/.test(text.replace(PLACEHOLDER, '')))
    return [`only "\${secret:NAME}" is filled in`, 'Store the value with: glovebox secret set NAME'];
  return undefined;
}
