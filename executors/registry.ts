import { readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import { describeError, type Executor } from './define.js'
import http from './http/index.js'
import mcp from './mcp/index.js'
import minion from './minion/index.js'
import noop from './noop/index.js'
import notify from './notify/index.js'
import openclaw from './openclaw/index.js'
import radar from './radar/index.js'
import wreckit from './wreckit/index.js'

/** Executors by kind. */
export type ExecutorRegistry = ReadonlyMap<string, Executor>

const SHIPPED: readonly Executor[] = [http, mcp, minion, noop, notify, openclaw, radar, wreckit]

/** The executors that come with Ops Loop. */
export function shippedExecutors(): ExecutorRegistry {
  return new Map(SHIPPED.map((executor) => [executor.kind, executor]))
}

/**
 * The shipped executors together with those of a folder: each `.ts`, `.js` or `.mjs` file directly in it has one as its
 * default export. Tests (`*.test.*`), declarations (`*.d.ts`) and names that begin with `_` or `.` are passed over.
 *
 * @throws Error that names the file when a folder or file cannot be read, has no executor, or takes a kind twice.
 */
export async function loadExecutors(folder: string): Promise<ExecutorRegistry> {
  const executors = new Map(shippedExecutors())
  for (const file of await executorFiles(folder)) {
    const executor = await loadExecutor(file)
    if (executors.has(executor.kind)) {
      throw new Error(`${file}: there is an executor '${executor.kind}' already; choose another kind`)
    }
    executors.set(executor.kind, executor)
  }
  return executors
}

async function executorFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new Error(`Cannot read the executors folder ${folder}: ${describeError(error)}`, { cause: error })
  })
  return entries
    .filter((entry) => entry.isFile() && isExecutorFile(entry.name))
    .map((entry) => join(resolve(folder), entry.name))
    .sort()
}

function isExecutorFile(name: string): boolean {
  return /^[^._].*\.(ts|js|mjs)$/.test(name) && !/\.(test|spec|d)\.[a-z]+$/.test(name)
}

/** A user's file may carry its own copy of `defineExecutor`, so only the shape can be checked. */
const executorModule = z.object({
  default: z.custom<Executor>(isExecutor),
})

async function loadExecutor(file: string): Promise<Executor> {
  const module: unknown = await import(pathToFileURL(file).href).catch((error: unknown) => {
    throw new Error(`${file}: cannot be loaded: ${describeError(error)}`, { cause: error })
  })
  const parsed = executorModule.safeParse(module)
  if (!parsed.success) {
    throw new Error(
      `${file}: its default export is no executor; write 'export default defineExecutor({ … })'`,
    )
  }
  return parsed.data.default
}

function isExecutor(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    'kind' in value &&
    typeof value.kind === 'string' &&
    'env' in value &&
    Array.isArray(value.env) &&
    'prepare' in value &&
    typeof value.prepare === 'function'
  )
}
