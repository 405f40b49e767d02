// SPDX-License-Identifier: Apache-2.0

package main

import "sync"

// lfuCache evicts the entry that is read least often. Entries of the same frequency hang in one bucket; the buckets form
// a list in order of frequency, so that Get and Set take constant time: Get moves its entry from the bucket of n reads to
// the next one, of n+1 reads, which it creates where there is none.
//
// The bug: a bucket whose last entry has moved on stays in the list. Entries that are read about as often as others find
// their next bucket in place, but the one that is read most often is always alone at the end, and so each of its reads
// leaves an empty bucket behind, for ever: a struct and a map, some 170 bytes in three objects, all reachable from the
// next. A cache of 1,000 entries holds a million objects after a minute. A well-known library was like this.
type lfuCache struct {
	mu      sync.Mutex
	entries map[string]*lfuEntry
	least   *lfuBucket
	size    int
	fixed   bool
}

type lfuEntry struct {
	key    string
	value  any
	bucket *lfuBucket
}

type lfuBucket struct {
	reads          int
	entries        map[*lfuEntry]struct{}
	previous, next *lfuBucket
}

func newLFUCache(size int, fixed bool) *lfuCache {
	return &lfuCache{entries: make(map[string]*lfuEntry, size), size: size, fixed: fixed,
		least: &lfuBucket{entries: map[*lfuEntry]struct{}{}}}
}

// Get returns the value of key, or nil, and counts the read.
//
//go:noinline
func (c *lfuCache) Get(key string) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := c.entries[key]
	if entry == nil {
		return nil
	}
	from := entry.bucket
	to := from.next
	if to == nil || to.reads != from.reads+1 {
		to = &lfuBucket{reads: from.reads + 1, entries: make(map[*lfuEntry]struct{}), previous: from, next: from.next}
		if from.next != nil {
			from.next.previous = to
		}
		from.next = to
	}
	delete(from.entries, entry)
	to.entries[entry] = struct{}{}
	entry.bucket = to
	if c.fixed && len(from.entries) == 0 {
		c.unlink(from)
	}
	return entry.value
}

// Set adds or replaces a value; where the cache is full, one that is read least often goes.
func (c *lfuCache) Set(key string, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if entry := c.entries[key]; entry != nil {
		entry.value = value
		return
	}
	if len(c.entries) >= c.size {
		c.evict()
	}
	entry := &lfuEntry{key: key, value: value, bucket: c.least}
	c.least.entries[entry] = struct{}{}
	c.entries[key] = entry
}

func (c *lfuCache) evict() {
	for bucket := c.least; bucket != nil; bucket = bucket.next {
		for entry := range bucket.entries {
			delete(bucket.entries, entry)
			delete(c.entries, entry.key)
			return
		}
	}
}

// unlink takes an empty bucket out of the list; the first stays, it is where new entries begin.
func (c *lfuCache) unlink(bucket *lfuBucket) {
	if bucket == c.least {
		return
	}
	bucket.previous.next = bucket.next
	if bucket.next != nil {
		bucket.next.previous = bucket.previous
	}
}
