import { relative } from 'node:path'

/** A path as one would type it in the present folder. */
export function nearby(path: string): string {
  const here = relative(process.cwd(), path)
  if (here === '') return '.'
  return here.startsWith('..') ? path : here
}

/** A path as one writes it in a command line. */
export function shellPath(path: string): string {
  const bare = path !== '.' && !path.includes('/')
  const file = bare || path.startsWith('-') ? `./${path}` : path
  return /^[\w./+:@%,=-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`
}
