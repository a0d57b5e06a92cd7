import { resolve } from 'node:path'
import { execa } from 'execa'
import { describe, expect, it } from 'vitest'
import { nearby, shellPath } from './nearby.js'

describe('a path for people', () => {
  it('is as short as it can be from here', () => {
    expect(nearby(resolve('a/b'))).toBe('a/b')
    expect(nearby(resolve('.'))).toBe('.')
    expect(nearby('/elsewhere')).toBe('/elsewhere')
  })

  it('stands in a command line as one word, and names the file when a shell reads it', async () => {
    expect(shellPath('.ops-loop/env')).toBe('.ops-loop/env')
    // A bare name would be looked for among programs.
    expect(shellPath('env')).toBe('./env')
    for (const path of ['my dir/env', "it's/$HOME/`id`/env", 'Jürgen/日本', 'a"b\\c/*', '~/x', '-x/y'])
      expect((await execa('sh', ['-c', `printf %s ${shellPath(path)}`])).stdout).toBe(
        path.startsWith('-') ? `./${path}` : path,
      )
  })
})
