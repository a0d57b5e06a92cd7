/**
 * Writes what is made from the schemas: the reference in docs/policies.md, json-schema/*.json and .vscode/settings.json.
 * `npm run policies:build`, or `--check` to compare only.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { editorSchemas, editorSettings, policyReference, REFERENCE_MARK } from './reference.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const PAGE = 'docs/policies.md'

/** The generated files with what they must contain, by their path in the project. */
export async function generatedFiles(): Promise<Record<string, string>> {
  const [prose, ...others] = (await readFile(join(root, PAGE), 'utf8')).split(REFERENCE_MARK)
  if (others.length !== 1) throw new Error(`${PAGE} must hold the line ${REFERENCE_MARK} once`)
  const schemas = Object.entries(editorSchemas()).map(([name, text]) => [
    `policies/json-schema/${name}`,
    text,
  ])
  return {
    [PAGE]: `${prose}${REFERENCE_MARK}\n\n${policyReference()}\n`,
    '.vscode/settings.json': editorSettings(),
    ...Object.fromEntries(schemas),
  }
}

async function main(): Promise<void> {
  const check = process.argv.includes('--check')
  for (const [path, expected] of Object.entries(await generatedFiles())) {
    const file = join(root, path)
    if ((await textOf(file)) === expected) continue
    if (check) {
      console.error(`${path} is not what policies/schemas make: run npm run policies:build`)
      process.exitCode = 1
    } else {
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, expected)
      console.log(`${path} written`)
    }
  }
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch {
    return undefined
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await main()
