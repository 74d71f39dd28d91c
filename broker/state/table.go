package state

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"iter"

	"github.com/tidwall/btree"
)

// recordKind is a kind of record's number. It is in snapshots and never changes.
type recordKind uint8

const (
	recordDomain       recordKind = 1
	recordPublication  recordKind = 2
	recordAuthority    recordKind = 3
	recordEntry        recordKind = 4
	recordRelationship recordKind = 5
	recordBundle       recordKind = 6
	recordAgent        recordKind = 7
	recordRequest      recordKind = 8
	recordMember       recordKind = 9
	recordRemoved      recordKind = 10
	recordJoinToken    recordKind = 11
	recordDuties       recordKind = 12
	recordSealing      recordKind = 13
)

// shape is what a table knows about its records.
type shape[T any] struct {
	kind   recordKind
	name   string // in the audit trail; "" if what happens to these records is no change of the domain
	key    func(*T) string
	fields func(visitor, *T)
}

// table is records of one kind, sorted by key. A record is never changed, only
// replaced. A table is changed by its draft alone.
type table[T any] struct {
	*shape[T]
	tree *btree.BTreeG[item[T]]
}

type item[T any] struct {
	key   string
	value *T
}

func newTable[T any](s *shape[T]) table[T] {
	return table[T]{shape: s, tree: newTree(func(a, b item[T]) bool { return a.key < b.key })}
}

// newTree makes a tree that its owner locks, if anybody must.
func newTree[T any](less func(a, b T) bool) *btree.BTreeG[T] {
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

func (t table[T]) copy() table[T] { return table[T]{shape: t.shape, tree: t.tree.Copy()} }

// get returns a record, nil if there is none.
func (t table[T]) get(key string) *T {
	found, _ := t.tree.Get(item[T]{key: key})
	return found.value
}

func (t table[T]) count() int { return t.tree.Len() }

// from goes over the records whose key is key or sorts after it.
func (t table[T]) from(key string) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		t.tree.Ascend(item[T]{key: key}, func(i item[T]) bool { return yield(i.value) })
	}
}

func (t table[T]) number() recordKind { return t.kind }

func (t table[T]) each(visit func(fields func(visitor)) bool) {
	for record := range t.from("") {
		if !visit(func(v visitor) { t.fields(v, record) }) {
			return
		}
	}
}

func (t table[T]) load(r *reader, s *sum) error {
	record := new(T)
	t.fields(r, record)
	if err := r.end(); err != nil {
		return err
	}
	key := t.key(record)
	if last, ok := t.tree.Max(); ok && last.key >= key {
		return fmt.Errorf("%.80q comes after %.80q: %w", key, last.key, ErrCorrupt)
	}
	t.tree.Load(item[T]{key, record})
	s.add(t.hash(record))
	return nil
}

// put makes or replaces a record.
func (t table[T]) put(d *draft, record *T) {
	before := t.get(t.key(record))
	t.tree.Set(item[T]{t.key(record), record})
	t.account(d, before, record)
}

// drop deletes a record that is there.
func (t table[T]) drop(d *draft, record *T) {
	t.tree.Delete(item[T]{key: t.key(record)})
	t.account(d, record, nil)
}

// account keeps the sum, and says in the audit trail what is different. A
// record that is not there is nil.
func (t table[T]) account(d *draft, before, after *T) {
	if before != nil {
		d.sum.subtract(t.hash(before))
	}
	if after != nil {
		d.sum.add(t.hash(after))
	}
	if t.name == "" {
		return
	}
	some := before
	if some == nil {
		some = after
	}
	d.note(subject(t.name, t.key(some)), t.describe(before), t.describe(after))
}

// hash is what the record adds to the sum.
func (t table[T]) hash(record *T) [sha256.Size]byte {
	return sha256.Sum256(t.emit(plain{}, record))
}

// emit writes a record, its kind first.
func (t table[T]) emit(l layout, record *T) []byte {
	e := emitter{layout: l, bytes: []byte{byte(t.kind)}}
	t.fields(&e, record)
	return e.bytes
}

// same reports whether two records say the same.
func (t table[T]) same(a, b *T) bool {
	return a != nil && b != nil && bytes.Equal(t.emit(plain{}, a), t.emit(plain{}, b))
}

func (t table[T]) describe(record *T) []shown {
	if record == nil {
		return nil
	}
	var s summary
	t.fields(&s, record)
	return s.values
}

// subject names a record in the audit trail.
func subject(name, key string) string {
	if key == "" {
		return name
	}
	return name + "/" + key
}
