import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const folder = fileURLToPath(new URL('..', import.meta.url))

/** Installs the peers into bench/node_modules if what is there is not what the lock says. A failure is told, not thrown. */
export async function installPeers(log: (line: string) => void): Promise<void> {
  if (await isInstalled()) return
  log('Installing the peers into bench/node_modules (npm ci) …')
  try {
    await promisify(execFile)('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder })
  } catch (error) {
    const [line] = error instanceof Error ? error.message.split('\n').slice(1) : [String(error)]
    log(`They could not be installed, so they will be missing: ${line ?? 'npm ci failed'}`)
  }
}

async function isInstalled(): Promise<boolean> {
  const wanted = await versions(`${folder}/package-lock.json`)
  const found = await versions(`${folder}/node_modules/.package-lock.json`)
  return (
    wanted !== undefined &&
    found !== undefined &&
    Object.entries(found).every(([name, version]) => wanted[name] === version)
  )
}

async function versions(file: string): Promise<Record<string, string> | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const { packages }: { packages: Record<string, { version?: string }> } = JSON.parse(text)
  return Object.fromEntries(
    Object.entries(packages).flatMap(([name, { version }]) => (name && version ? [[name, version]] : [])),
  )
}
