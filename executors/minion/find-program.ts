import { realpath, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'

export type Found = { ok: true; path: string } | { ok: false; problem: string }

/** These would run whatever their arguments say. */
const SHELLS = new Set('sh bash dash ash zsh ksh mksh fish csh tcsh elvish nu pwsh busybox toybox'.split(' '))

const WRITABLE_BY_ALL = 0o002
const STICKY = 0o1000

/**
 * The file behind a command that policy allows, or why it may not be run. The command has to be in the list letter by letter,
 * so that no `..` and no link of another name leads to it. Where links lead is looked at, too: not to a shell, and not through a
 * place where anybody could have put another file.
 */
export async function findProgram(command: string, allowed: readonly string[]): Promise<Found> {
  if (!allowed.includes(command)) {
    return no(`${command} is not allowed: policy worker_policy names the programs in allowed_commands`)
  }
  const path = await realpath(command).catch(() => undefined)
  if (path === undefined) return no(`${command} does not exist`)
  if ([command, path].some((name) => SHELLS.has(basename(name)))) return no(`${command} is a shell`)
  if (!(await stat(path)).isFile()) return no(`${command} is not a file`)
  for (const place of new Set([path, ...foldersAbove(command), ...foldersAbove(path)])) {
    if (await anybodyCanReplace(place)) return no(`${command}: anybody could have changed ${place}`)
  }
  return { ok: true, path }
}

const no = (problem: string): Found => ({ ok: false, problem })

function foldersAbove(path: string): string[] {
  const above = dirname(path)
  return above === path ? [] : [above, ...foldersAbove(above)]
}

/** In a sticky folder, such as `/tmp`, only owners may rename what is theirs. */
async function anybodyCanReplace(place: string): Promise<boolean> {
  const { mode } = await stat(place)
  return (mode & WRITABLE_BY_ALL) !== 0 && (mode & STICKY) === 0
}
