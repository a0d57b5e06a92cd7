import { relative } from 'node:path'

/** A path as one would type it in the present folder. */
export function nearby(path: string): string {
  const here = relative(process.cwd(), path)
  if (here === '') return '.'
  return here.startsWith('..') ? path : here
}
