import type { Engine } from '../../../engine/index.js'
import { type Change, diffPolicy } from '../../../policies/index.js'
import { plain, short } from '../../text.js'
import type { PolicyFile } from './files.js'

/** A file beside the row in force. */
export interface Compared {
  key: string
  /** In force; 0: there is none. */
  version: number
  changed: boolean
  changes: Change[]
}

export async function compare(engine: Engine, files: readonly PolicyFile[]): Promise<Compared[]> {
  const rows = await engine.policies(files.map(({ key }) => key))
  return files.map(({ key, value }) => {
    const row = rows.find((policy) => policy.key === key)
    const changes = diffPolicy(row?.value, value)
    return { key, version: row?.version ?? 0, changed: changes.length > 0, changes }
  })
}

export function describeComparison({ key, version, changes }: Compared): string {
  const title = version === 0 ? `${key} (new)` : `${key} (version ${version})`
  if (changes.length === 0) return `${title}: no difference`
  return [title, ...changes.map((change) => `  ${describeChange(change)}`)].join('\n')
}

const WIDTH = 90

export function describeChange({ path, kind, from, to }: Change): string {
  const name = path === '' ? 'the policy' : path
  switch (kind) {
    case 'added':
      return `+ ${name}: ${short(plain(to), WIDTH)}`
    case 'removed':
      return `- ${name}: ${short(plain(from), WIDTH)}`
    case 'moved':
      return `~ ${name}: from place ${Number(from) + 1} to ${Number(to) + 1}`
    case 'changed':
      return `~ ${name}: ${short(plain(from), WIDTH)} → ${short(plain(to), WIDTH)}`
  }
}
