package registrar_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/registrar"
	"github.com/concord-id/concord/tests/memcluster"
	"github.com/concord-id/concord/workload"
)

// pages walks all pages of all entries and calls between after each.
func pages(t testing.TB, c *memcluster.Cluster, size int, between func(page int)) (ids []string) {
	t.Helper()
	page := registrar.Page{Size: size}
	for n := 0; ; n++ {
		list, err := c.Registrar.Entries(t.Context(), memcluster.Reader, registrar.EntryFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			ids = append(ids, e.ID)
		}
		if list.Next == "" {
			return ids
		}
		if len(list.Items) != size {
			t.Fatalf("page %d has %d items and is not the last, want %d", n, len(list.Items), size)
		}
		page.Token = list.Next
		between(n)
	}
}

func named(t testing.TB, c *memcluster.Cluster, id string, uid int) {
	t.Helper()
	e := entry("/"+id, uid)
	e.ID = id
	create(t, c, e)
}

func TestPagesShowEachEntryOnceWhateverComesAndGoes(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	for i := range 20 {
		named(t, c, fmt.Sprintf("n%02d", i), i)
	}
	got := pages(t, c, 3, func(page int) {
		switch page {
		case 0: // what was shown last goes away, and others come before and behind
			c.Registrar.DeleteEntry(t.Context(), memcluster.Admin, registrar.DeleteEntry{ID: "n02"})
			named(t, c, "a-before", 100)
			named(t, c, "n19-behind", 101)
		case 2:
			c.Registrar.DeleteEntry(t.Context(), memcluster.Admin, registrar.DeleteEntry{ID: "n12"})
		}
	})
	seen := map[string]int{}
	for _, id := range got {
		seen[id]++
	}
	for i := range 20 {
		id := fmt.Sprintf("n%02d", i)
		if want := 1; seen[id] != want && i != 12 {
			t.Errorf("%s was shown %d times, want %d", id, seen[id], want)
		}
	}
	if seen["n12"] != 0 || seen["n19-behind"] != 1 || seen["a-before"] != 0 {
		t.Errorf("shown: %v", got)
	}
}

func TestPageSizes(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	for i := range 7 {
		named(t, c, fmt.Sprint("n", i), i)
	}
	for _, size := range []int{1, 6, 7, 8, registrar.MaxPageSize, 1 << 30} {
		if got := pages(t, c, size, func(int) {}); len(got) != 7 {
			t.Errorf("pages of %d show %d entries, want 7", size, len(got))
		}
	}
	_, err := c.Registrar.Entries(t.Context(), memcluster.Reader, registrar.EntryFilter{}, registrar.Page{Size: -1})
	wantCode(t, err, broker.InvalidArgument)
}

func TestACutPageGoesOnWhereItWasCut(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	for i := range 7 {
		named(t, c, fmt.Sprint("n", i), i)
	}
	list, err := c.Registrar.Entries(t.Context(), memcluster.Reader, registrar.EntryFilter{}, registrar.Page{})
	if err != nil {
		t.Fatal(err)
	}
	cut := list.Cut(3)
	rest, err := c.Registrar.Entries(t.Context(), memcluster.Reader, registrar.EntryFilter{}, registrar.Page{Token: cut.Next})
	if err != nil || len(cut.Items) != 3 || len(rest.Items) != 4 || rest.Items[0].ID != "n3" {
		t.Errorf("cut %d, rest %d (%v)", len(cut.Items), len(rest.Items), err)
	}
	if whole := list.Cut(7); whole.Next != "" || len(whole.Items) != 7 {
		t.Errorf("a page cut at its end is %+v", whole)
	}
}

func TestATokenOfAnotherListingIsRefused(t *testing.T) {
	c := memcluster.New(t, acme, memcluster.Options{})
	named(t, c, "a", 1)
	named(t, c, "b", 2)
	list, err := c.Registrar.Entries(t.Context(), memcluster.Reader, registrar.EntryFilter{}, registrar.Page{Size: 1})
	if err != nil || list.Next == "" {
		t.Fatal(list, err)
	}
	_, err = c.Registrar.Bundles(t.Context(), memcluster.Reader, registrar.Page{Token: list.Next})
	wantCode(t, err, broker.InvalidArgument)
}

func FuzzPageToken(f *testing.F) {
	c := memcluster.New(f, acme, memcluster.Options{})
	for i := range 3 {
		named(f, c, fmt.Sprint("n", i), i)
	}
	first, err := c.Registrar.Entries(f.Context(), memcluster.Reader, registrar.EntryFilter{}, registrar.Page{Size: 1})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{first.Next, "", "e", "ZQ", "ZXo", "!", "ZW4w=", "Ym4w", "ZW4w\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		list, err := c.Registrar.Entries(context.Background(), memcluster.Reader, registrar.EntryFilter{}, registrar.Page{Token: token, Size: 1})
		if err != nil {
			if broker.CodeOf(err) != broker.InvalidArgument {
				t.Errorf("token %q: %v", token, err)
			}
			return
		}
		if len(list.Items) > 1 {
			t.Errorf("token %q: %d items on a page of one", token, len(list.Items))
		}
		if list.Next == token && token != "" {
			t.Errorf("token %q leads to itself", token)
		}
		if list.Next != "" {
			cut := registrar.Listing[*workload.Entry]{Items: list.Items, Next: list.Next}.Cut(len(list.Items))
			if cut.Next != list.Next {
				t.Errorf("token %q: cutting nothing off changed the next token", token)
			}
		}
	})
}
