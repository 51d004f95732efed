import { Parser } from 'htmlparser2';

/** Element of an answer. */
export interface XmlElement {
  readonly name: string;
  readonly children: readonly XmlElement[];
  readonly text: string;
}

interface Open {
  name: string;
  children: XmlElement[];
  text: string;
}

/** Reads an XML document. What is not closed ends with the document. */
export function readXml(document: string): XmlElement {
  const root: Open = { name: '', children: [], text: '' };
  const open = [root];
  const parser = new Parser(
    {
      onopentag: (name) => {
        const element: Open = { name, children: [], text: '' };
        open.at(-1)?.children.push(element);
        open.push(element);
      },
      ontext: (text) => {
        const element = open.at(-1);
        if (element) element.text += text;
      },
      onclosetag: () => void open.pop(),
    },
    { xmlMode: true, decodeEntities: true },
  );
  parser.end(document);
  return root.children.find(({ name }) => !name.startsWith('?')) ?? root;
}

/** Text of a child. Empty if there is none. */
export function textOf({ children }: XmlElement, name: string): string {
  return children.find((child) => child.name === name)?.text ?? '';
}

/** Children of a name. */
export function childrenOf({ children }: XmlElement, name: string): readonly XmlElement[] {
  return children.filter((child) => child.name === name);
}
