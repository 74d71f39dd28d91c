package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/concord-id/concord/broker"
	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/broker/registrar"
)

// backupPatience is how long one who takes a backup may not read.
const backupPatience = time.Minute

func (s *server) backup(ctx context.Context, who broker.Caller, r *request) (any, error) {
	b, err := s.registrar.Backup(ctx, who)
	if err != nil {
		return nil, err
	}
	return backup{s, r.http, b}, nil
}

// backup answers with a backup, piece by piece. If it cannot be written to its
// end the connection breaks, so that nobody takes it for a whole one.
type backup struct {
	server *server
	http   *http.Request
	backup registrar.Backup
}

func (b backup) send(w http.ResponseWriter) {
	w.Header().Set("Content-Type", client.BackupType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	stream := http.NewResponseController(w)
	_ = stream.SetReadDeadline(time.Time{}) // a writer that knows no deadlines has none to lift
	err := b.backup.Write(patient{w, stream})
	if err == nil {
		return
	}
	if b.http.Context().Err() == nil {
		b.server.log.Error("a backup was not written to its end", "request_id", w.Header().Get(client.RequestIDHeader), "error", err)
	}
	panic(http.ErrAbortHandler)
}

// patient gives each piece its own time.
type patient struct {
	http.ResponseWriter
	stream *http.ResponseController
}

func (p patient) Write(piece []byte) (int, error) {
	_ = p.stream.SetWriteDeadline(time.Now().Add(backupPatience))
	return p.ResponseWriter.Write(piece)
}
