import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { withoutMark } from '../../../engine/env.js'
import { infiniteNumber, type JsonObject, OpsError, pathText } from '../../../engine/index.js'
import { parsePolicy } from '../../../policies/index.js'

/** A policy out of a file. */
export interface PolicyFile {
  key: string
  path: string
  value: JsonObject
}

export interface FileProblem {
  file: string
  /** Where in the policy; empty: the whole. */
  path: string
  message: string
}

/** For --help of every command that takes files. */
export const FILES_HELP = `
A file is named after its policy (reaction_matrix.json), or given as <policy>=<file>.
A folder stands for all *.json in it.`

/**
 * Reads policies from files and folders, and checks them as far as that goes without a database.
 *
 * @throws OpsError `OPS_011` with all that is wrong in `details.problems`
 */
export async function readPolicies(names: readonly string[]): Promise<PolicyFile[]> {
  const files = (await Promise.all(names.map(filesOf))).flat()
  const policies: PolicyFile[] = []
  const problems: FileProblem[] = []
  for (const { key, path } of files) {
    const other = policies.find((policy) => policy.key === key)
    if (other)
      problems.push({ file: path, path: '', message: `holds policy "${key}", as ${other.path} does` })
    const value = await jsonOf(path)
    const parsed = parsePolicy(key, value)
    if (!parsed.ok) problems.push(...parsed.problems.map((problem) => ({ file: path, ...problem })))
    else if (isObject(value)) policies.push({ key, path, value })
  }
  if (problems.length > 0) {
    const lines = problems.map(
      ({ file, path, message }) => `\n  ${file}: ${path === '' ? '' : `${path} `}${message}`,
    )
    throw new OpsError('OPS_011', `Not valid:${lines.join('')}`, { details: { problems } })
  }
  return policies
}

async function filesOf(name: string): Promise<{ key: string; path: string }[]> {
  const [, key, path] = /^([a-z_]+)=(.+)$/.exec(name) ?? []
  if (key !== undefined && path !== undefined) return [{ key, path }]
  if (!(await isFolder(name))) return [{ key: basename(name, '.json'), path: name }]
  const found = (await readdir(name)).filter((file) => file.endsWith('.json')).sort()
  if (found.length === 0) throw new OpsError('OPS_011', `There is no *.json in ${name}.`)
  return found.map((file) => ({ key: basename(file, '.json'), path: join(name, file) }))
}

async function isFolder(name: string): Promise<boolean> {
  try {
    return (await stat(name)).isDirectory()
  } catch (error) {
    throw new OpsError('OPS_011', `Cannot read ${name}.`, { cause: error, details: { path: name } })
  }
}

/** @throws OpsError `OPS_011` */
export async function jsonOf(path: string): Promise<unknown> {
  const json = parsed(await textOf(path), path)
  const beyond = infiniteNumber(json)
  if (beyond) {
    const message = `${path}: ${pathText(beyond)} is beyond what a JSON number can hold here: write it as text`
    throw new OpsError('OPS_011', message, { details: { path } })
  }
  return json
}

function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new OpsError('OPS_011', `${path} is not JSON: ${reason}`, { details: { path } })
  }
}

/** @throws OpsError `OPS_011` */
export async function textOf(path: string): Promise<string> {
  try {
    return withoutMark(await readFile(path, 'utf8'))
  } catch (error) {
    throw new OpsError('OPS_011', `Cannot read ${path}.`, { cause: error, details: { path } })
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
