;;; coho.el --- Ask and search your own notes  -*- lexical-binding: t; -*-

;; Author: coho
;; URL: https://example.invalid/coho.git
;; Version: 0.1.0
;; Package-Requires: ((emacs "27.1"))
;; Keywords: outlines, hypermedia, tools
;; License: see the LICENSE file of coho

;;; Commentary:

;; Speaks to a running `coho serve' on this machine, by curl, and to nothing else.  It finds the
;; address and the token where coho writes them.  Nothing blocks: answers come as they are written.
;;
;; `coho-ask' writes an answer into a buffer, with citations as links to file and line.  No mode that
;; runs what it shows has a hand in that buffer: notes are data.
;; `coho-search' offers hits for completion and opens the one that is chosen.
;; `coho-related' does so for the paragraph at point.
;; `coho-good' and `coho-bad' say what the last answer was worth; coho learns from it.

;;; Code:

(require 'button)
(require 'seq)
(require 'subr-x)

(declare-function org-open-file "org" (path &optional in-emacs line search))
(declare-function org-fold-show-context "org-fold" (&optional key))
(declare-function org-show-context "org" (&optional key))

(defgroup coho nil
  "Ask and search your own notes."
  :group 'hypermedia
  :prefix "coho-")

(defcustom coho-home nil
  "The data folder of coho; nil finds it as coho does."
  :type '(choice (const :tag "As coho finds it" nil) directory))

(defcustom coho-address nil
  "Address of the service; nil for the one that runs on `coho-home'."
  :type '(choice (const nil) string))

(defcustom coho-token nil
  "Token to send; nil for the one in `coho-home'."
  :type '(choice (const nil) string))

(defcustom coho-hits 20
  "Hits that a search offers at most."
  :type 'integer)

(defconst coho--most-bytes 65536
  "What curl takes in a line of its settings; far more than any question.")

(defvar coho--quiet-s 60
  "Seconds without a byte after which a service that hangs is given up.
A stream is never quiet for longer than 15 while somebody writes to it.")

(defvar coho--answer nil
  "The answer at hand, as the service sent it.")

(defvar coho--process nil
  "The request that writes the answer at hand.")

(defvar coho--search nil
  "The last search: its hits alone are offered.")

;;; The service

(defun coho--home ()
  "The data folder of coho."
  (or coho-home
      (let ((set (getenv "COHO_HOME")))
        (and set (not (string-empty-p set)) set))
      (and (eq system-type 'darwin)
           (expand-file-name "~/Library/Application Support/coho"))
      (let ((set (getenv "XDG_DATA_HOME")))
        (expand-file-name
         "coho" (if (and set (file-name-absolute-p set)) set "~/.local/share")))))

(defun coho--read (path)
  "Text of the file at PATH, or nil."
  (when (file-readable-p path)
    (with-temp-buffer
      (insert-file-contents path)
      (buffer-string))))

(defun coho--ours-p (pid)
  "Whether the process PID that announced itself is alive, and a coho.
Of one that was killed the announcement stays: whoever listens at its
address is not to be told the token."
  (and (natnump pid) (> pid 0)
       ;; Somebody else's process is refused to us, too.
       (equal (signal-process pid 0) 0)
       ;; Another process may have its number by now, or it is only waiting to be buried.
       (let* ((known (process-attributes pid))
              (program (file-symlink-p (format "/proc/%d/exe" pid)))
              (names (delq nil (list (alist-get 'comm known)
                                     (and program (file-name-nondirectory program))))))
         (and (not (equal (alist-get 'state known) "Z"))
              (or (null names)
                  (seq-some (lambda (name) (string-match-p "coho" name)) names))))))

(defun coho--here-p (address)
  "Whether ADDRESS is surely one of this machine."
  (string-match-p
   "\\`\\(https?://\\)?\\(localhost\\|127\\(\\.[0-9]+\\)\\{3\\}\\|\\[::1\\]\\)\\(:[0-9]+\\)?\\(/\\|\\'\\)"
   address))

(defun coho--service ()
  "Address and token of the service, as a cons cell.
An error says what to do to have one."
  (unless (fboundp 'json-parse-string)
    (user-error "This Emacs was built without jansson, and cannot read what coho says"))
  (unless (executable-find "curl")
    (user-error "There is no curl on this machine's `exec-path': install curl, which coho speaks by"))
  (let* ((default-directory temporary-file-directory) ; Not on the host of a remote buffer.
         (home (coho--home))
         (said (coho--read (expand-file-name "service.json" home)))
         (address (or coho-address
                      (let ((announced (ignore-errors (json-parse-string said))))
                        (and (hash-table-p announced)
                             (coho--ours-p (gethash "pid" announced))
                             (concat "http://" (gethash "address" announced))))))
         (told (or coho-token
                   ;; The one of the data folder is for this machine.
                   (not coho-address) (coho--here-p coho-address)))
         (token (or coho-token
                    (and told (coho--read (expand-file-name "token" home))))))
    (unless told
      (user-error "%s is another machine: set `coho-token', which `coho token add' made there"
                  coho-address))
    (unless address
      (user-error "No coho is running on %s: start `coho serve'" home))
    (unless token
      (user-error "There is no token in %s: is that the data folder of `coho status'?" home))
    (cons (replace-regexp-in-string "/+\\'" "" address) (string-trim token))))

(defun coho--quoted (text)
  "TEXT as curl's settings want it."
  (concat "\""
          (replace-regexp-in-string
           "[\\\"\n\r\t]"
           (lambda (found)
             (cdr (assoc found '(("\\" . "\\\\") ("\"" . "\\\"") ("\n" . "\\n")
                                 ("\r" . "\\r") ("\t" . "\\t")))))
           text t t)
          "\""))

(defun coho--clean (text)
  "TEXT as JSON and curl take it: what is no text is told as U+FFFD."
  (let ((decoded (if (multibyte-string-p text) text (decode-coding-string text 'utf-8 t))))
    ;; Bytes alone, halves of pairs, what is beyond Unicode, and what ends a string of C.
    (replace-regexp-in-string "[\0\x3fff80-\x3fffff\xd800-\xdfff\x110000-\x3fff7f]" "\ufffd" decoded t t)))

(defun coho--why (body status)
  "What the problem in BODY of an answer with STATUS says, for a person."
  (let* ((said (ignore-errors (json-parse-string body :null-object nil)))
         (problem (and (hash-table-p said) said))
         (detail (and problem (gethash "detail" problem)))
         (hint (and problem (gethash "hint" problem))))
    (cond
     ((and problem (equal (gethash "code" problem) "no_such_route"))
      "this coho is too old for the package: it lacks a route")
     ((and detail hint) (format "%s: %s" detail hint))
     (detail detail)
     (t (format "coho answered with status %s" status)))))

(defun coho--settings (service method path sent)
  "What tells curl to send SENT, as JSON, with METHOD to PATH of SERVICE."
  (mapconcat
   #'identity
   (append
    (list (concat "url = " (coho--quoted (concat (car service) path)))
          (concat "request = " (coho--quoted method))
          (concat "header = " (coho--quoted (concat "Authorization: Bearer " (cdr service))))
          "noproxy = \"*\""
          "write-out = \"\\ncoho-status:%{http_code}\"")
    (and sent (list "header = \"Content-Type: application/json\""
                    (concat "data-raw = " (coho--quoted (decode-coding-string sent 'utf-8)))))
    '(""))
   "\n"))

(defun coho--ended (done address code status text)
  "Tell DONE how a request to ADDRESS ended.
CODE is that of curl, STATUS and TEXT are the answer's."
  (cond
   ((= code 7)
    (funcall done (format "coho does not answer at %s: start `coho serve'" address) nil))
   ((= code 28)
    (funcall done (format "coho at %s hangs, or cannot be reached: try again, or start `coho serve' anew" address) nil))
   ((/= code 0)
    (funcall done (format "the connection to coho broke off (curl says %d); try again" code) nil))
   ((>= (or status 500) 400)
    (funcall done (coho--why text status) nil))
   (t
    (funcall done nil (ignore-errors (json-parse-string (string-trim text) :null-object nil))))))

(defun coho--patience (process)
  "Give the request PROCESS up when it is silent for `coho--quiet-s'.
By steps: where Emacs itself stood still, what came meanwhile is read
after one of them.  Curl's own limit of speed takes the few bytes that
say \"not yet\" for none."
  (when (process-live-p process)
    (let ((silent (1+ (or (process-get process 'coho-silent) 0))))
      (process-put process 'coho-silent silent)
      (if (<= silent 4)
          (run-at-time (/ coho--quiet-s 4.0) nil #'coho--patience process)
        (process-put process 'coho-hangs t)
        (delete-process process)))))

(defun coho--call (method path body done &optional event)
  "Send a request with METHOD to PATH, with BODY (an alist, or nil).
DONE is called once, with an error (a string, or nil) and the answer.
EVENT is called before that with name and data of each event of a stream.
Returns the process."
  (let* ((service (coho--service))
         (sent (and body (json-serialize
                          (mapcar (lambda (pair)
                                    (if (stringp (cdr pair))
                                        (cons (car pair) (coho--clean (cdr pair)))
                                      pair))
                                  body))))
         (rest "") (name "") lines status)
    ;; As it is quoted: of a text full of quotes that is twice as much.
    (when (and sent (> (string-bytes (coho--quoted sent)) coho--most-bytes))
      (user-error "That is too much for one question (%d KiB): select less"
                  (/ (string-bytes sent) 1024)))
    (let* ((take
            (lambda (line)
              (cond
               ((string-prefix-p "coho-status:" line)
                (setq status (string-to-number (substring line 12))))
               ((and event (string-prefix-p "event: " line))
                (setq name (substring line 7)))
               ((and event (string-prefix-p "data: " line))
                (let ((data (ignore-errors
                              (json-parse-string (substring line 6) :null-object nil))))
                  (when data (funcall event name data))))
               (t (push line lines)))))
           (filter
            (lambda (process piece)
              (process-put process 'coho-silent 0)
              (let ((parts (split-string (concat rest piece) "\n")))
                (mapc take (butlast parts))
                (setq rest (car (last parts))))))
           (sentinel
            (lambda (process _change)
              (unless (or (process-live-p process) (process-get process 'coho-stopped))
                (funcall take rest)
                (coho--ended done (car service)
                             (if (process-get process 'coho-hangs) 28 (process-exit-status process))
                             status (string-join (nreverse lines) "\n")))))
           ;; The folder of a buffer need not be there.
           (default-directory temporary-file-directory)
           (process
            (make-process :name "coho" :noquery t :connection-type 'pipe :coding 'utf-8-unix
                          ;; -q: nothing of what ~/.curlrc asks for.
                          :command '("curl" "-q" "--silent" "--no-buffer"
                                     "--connect-timeout" "5" "--config" "-")
                          :filter filter :sentinel sentinel)))
      ;; By stdin: the token is in no list of processes.
      (process-send-string process (coho--settings service method path sent))
      (process-send-eof process)
      (coho--patience process)
      process)))

;;; Asking

(defun coho--on-disk (path)
  "The name on disk of PATH, in which a byte that is no text is told as \\xE7."
  (if (file-exists-p path)
      path
    (decode-coding-string
     (replace-regexp-in-string
      "\\\\x\\([[:xdigit:]]\\{2\\}\\)"
      (lambda (found) (unibyte-string (string-to-number (substring found 2) 16)))
      (encode-coding-string path 'utf-8-unix) t t)
     'utf-8-unix)))

(defun coho--line (thing)
  "The first line of THING, a hit or a citation, or nil."
  (let ((lines (gethash "lines" thing)))
    (and (vectorp lines) (aref lines 0))))

(defun coho--place (thing)
  "Where THING, a hit or a citation, stands: its file with a line or a page."
  (let ((line (coho--line thing))
        (page (gethash "page" thing)))
    (concat (file-name-nondirectory (gethash "path" thing))
            (cond (line (format ":%d" line))
                  ((natnump page) (format " page %d" page))
                  (t "")))))

(defvar coho-answer-mode-map
  (let ((map (make-sparse-keymap)))
    (define-key map (kbd "C-c C-g") #'coho-good)
    (define-key map (kbd "C-c C-b") #'coho-bad)
    (define-key map (kbd "C-c C-k") #'coho-stop)
    (define-key map (kbd "RET") #'coho-follow)
    (define-key map (kbd "C-c C-o") #'coho-follow)
    (define-key map (kbd "TAB") #'forward-button)
    (define-key map (kbd "<backtab>") #'backward-button)
    ;; What stands before point is a note's, not a program's.
    (dolist (runs '(eval-last-sexp eval-print-last-sexp eval-defun eval-region eval-buffer))
      (define-key map (vector 'remap runs) #'undefined))
    map)
  "Keys in the buffer of answers.")

(defconst coho--faces
  '(("\\`\\* .*" . 'bold)
    ("^#+ .*" . 'bold)
    ("\\[\\(?:[0-9]+\\|\\?\\)\\]" . 'font-lock-constant-face))
  "How an answer looks: its question, headings, and marks.")

;; None of Org's, nor of `text-mode', whose hook may switch Org's tables on: a formula in a note would
;; be run by TAB.
(define-derived-mode coho-answer-mode special-mode "coho"
  "An answer of coho, to be read.
It is shown as it is; no key runs what stands in it."
  (setq font-lock-defaults '(coho--faces t)
        truncate-lines nil
        word-wrap t)
  (setq-local enable-local-variables nil))

(defun coho--cited-here ()
  "The citation on this line, or nil."
  (when-let* ((n (save-excursion
                   (beginning-of-line)
                   (and (looking-at "- \\[\\([0-9]+\\)\\] ") (string-to-number (match-string 1))))))
    (and coho--answer
         (get-text-property (line-beginning-position) 'coho-citation)
         (seq-find (lambda (one) (equal (gethash "n" one) n)) (gethash "citations" coho--answer)))))

(defun coho-follow ()
  "Open the citation on this line, and tell coho that it was.
One without lines is opened by the program that `org-file-apps' or the
system has for it."
  (interactive)
  (let ((citation (coho--cited-here))
        (id (and coho--answer (gethash "id" coho--answer))))
    (unless citation
      (user-error "There is no citation on this line"))
    (coho--open citation #'find-file-other-window)
    (ignore-errors
      (coho--call "POST" (format "/v1/answers/%s/signals" id) '((kind . "opened")) #'ignore))))

(defun coho--insert-citation (citation)
  "Insert a line that leads to CITATION."
  (let* ((path (gethash "path" citation))
         (start (point)))
    (insert (format "- [%d] " (gethash "n" citation)))
    (insert-text-button (coho--place citation)
                        ;; A mouse moves no point.
                        'action (lambda (button) (goto-char (button-start button)) (coho-follow))
                        'follow-link t
                        'help-echo path)
    (insert "\n")
    (put-text-property start (1- (point)) 'coho-citation t)))

(defun coho--doubt (claims)
  "What [?] in an answer means; nil where all of CLAIMS are supported."
  (let* ((loose (seq-remove (lambda (claim) (eq (gethash "supported" claim) t)) claims))
         (missing (seq-mapcat (lambda (claim) (append (gethash "missing" claim) nil)) loose)))
    (when loose
      (concat "[?] your notes do not support this"
              (and missing (concat ": they do not hold " (string-join missing ", ")))))))

(defun coho--buffer ()
  "The buffer of answers; one that was killed, or is of another mode, is made anew."
  (with-current-buffer (get-buffer-create "*coho*")
    (unless (derived-mode-p 'coho-answer-mode)
      (coho-answer-mode))
    (current-buffer)))

(defun coho--write (question text citations claims)
  "Show QUESTION, the TEXT of its answer, links to its CITATIONS.
What is not supported of its CLAIMS is said below."
  (with-current-buffer (coho--buffer)
    (let ((inhibit-read-only t))
      (erase-buffer)
      (insert "* " (replace-regexp-in-string "[ \t\n]+" " " question) "\n\n" text "\n")
      (when citations (insert "\n"))
      (seq-doseq (citation citations)
        (coho--insert-citation citation))
      (let ((doubt (coho--doubt claims)))
        (when doubt (insert "\n" doubt "\n")))
      (goto-char (point-min)))
    (current-buffer)))

(defun coho--finish (question answer)
  "Show the whole ANSWER to QUESTION; whoever reads in it stays where they are."
  (with-current-buffer (coho--buffer)
    (let* ((windows (get-buffer-window-list nil nil t))
           (places (mapcar (lambda (window) (list window (window-start window) (window-point window)))
                           windows))
           (here (point)))
      (coho--write question (gethash "answer" answer)
                   (gethash "citations" answer) (gethash "claims" answer))
      (goto-char (min here (point-max)))
      (pcase-dolist (`(,window ,start ,point) places)
        (set-window-start window (min start (point-max)) t)
        (set-window-point window (min point (point-max)))))))

(defun coho--append (text)
  "Write TEXT at the end of the answer; whoever reads in it stays where they are."
  (with-current-buffer (coho--buffer)
    (let ((inhibit-read-only t))
      (save-excursion
        (goto-char (point-max))
        (insert text)))))

;;;###autoload
(defun coho-ask (question)
  "Ask QUESTION of your notes; the region is the question, where there is one."
  (interactive
   (list (if (use-region-p)
             (buffer-substring-no-properties (region-beginning) (region-end))
           (read-string "Ask your notes: "))))
  (when (string-empty-p (string-trim question))
    (user-error "There is no question"))
  (let* (ended
         (process
          (coho--call
           "POST" "/v1/ask" `((question . ,question) (stream . t))
           (lambda (failed _value)
             (cond
              (failed (message "coho: %s" failed))
              ((not ended) (message "coho: the answer broke off; ask again"))))
           (lambda (name data)
             (pcase name
               ("token" (coho--append (gethash "text" data)))
               ("done"
                (setq ended t coho--answer data)
                (coho--finish question data))
               ("error"
                (setq ended t)
                (message "coho: %s" (gethash "detail" data))))))))
    ;; Only now: where nobody can be asked, the last answer stays.
    (coho--stop coho--process)
    (setq coho--answer nil coho--process process)
    (display-buffer (coho--write question "" nil nil))))

(defun coho--stop (process)
  "Stop the request PROCESS, of which nothing more is told."
  (when (process-live-p process)
    (process-put process 'coho-stopped t)
    (delete-process process)))

(defun coho-stop ()
  "Stop the answer that is being written, and a search.
What is there of the answer stays."
  (interactive)
  (coho--stop coho--process)
  (coho--stop coho--search)
  (setq coho--search nil))

(defun coho--judge (verdict)
  "Say that the answer at hand deserves VERDICT."
  (unless coho--answer
    (user-error "There is no answer to judge yet: `coho-ask' first"))
  (coho--call "POST" (format "/v1/answers/%s/feedback" (gethash "id" coho--answer))
              `((verdict . ,verdict))
              (lambda (failed _value)
                (message "coho: %s" (or failed (concat "noted: " verdict))))))

(defun coho-good ()
  "Say that the last answer was good."
  (interactive)
  (coho--judge "good"))

(defun coho-bad ()
  "Say that the last answer was bad."
  (interactive)
  (coho--judge "bad"))

;;; Searching

(defun coho--open (thing &optional visit)
  "Visit the file of THING, a hit or a citation, at its line.
That is done by VISIT or `find-file'.  One without lines is
opened by the program for it: Emacs would show its bytes."
  (let ((path (coho--on-disk (gethash "path" thing)))
        (line (coho--line thing)))
    (unless (file-readable-p path)
      (user-error "%s is not there any more: search for what it said" (gethash "path" thing)))
    (if line
        (coho--visit path line (or visit #'find-file))
      (require 'org)
      ;; It reads variables of the environment in a name.
      (org-open-file (replace-regexp-in-string "\\$" "$$" path t t)))))

(defun coho--visit (path line visit)
  "Go to LINE of the file at PATH, which VISIT shows."
  (funcall visit path)
  (push-mark nil t)
  ;; Lines are those of the whole file.
  (widen)
  (goto-char (point-min))
  (forward-line (1- line))
  ;; Out of a fold; the function has another name since Org 9.6.
  (when (derived-mode-p 'org-mode)
    (funcall (if (fboundp 'org-fold-show-context) 'org-fold-show-context 'org-show-context))))

(defun coho--label (hit)
  "HIT as completion shows it."
  (let ((heading (gethash "heading" hit)))
    (format "%s %s%s"
            (coho--place hit)
            (if heading (concat heading ": ") "")
            (truncate-string-to-width
             (replace-regexp-in-string "[ \t\n]+" " " (gethash "text" hit)) 100))))

(defun coho-hits (body found)
  "Search with BODY, an alist as the service takes it.
FOUND gets an error or nil, and the hits.  Returns the process."
  (coho--call "POST" "/v1/search" (append body `((k . ,coho-hits)))
              (lambda (failed value)
                (if (or failed (hash-table-p value))
                    (funcall found failed (and value (append (gethash "hits" value) nil)))
                  (funcall found "what answered is no coho: is the address right?" nil)))))

(defun coho--offer (prompt hits search)
  "Let one of HITS be chosen after PROMPT, and open it.
Where SEARCH, which found them, is not the last one, nothing is offered."
  (cond
   ((not (eq search coho--search)))
   ((null hits) (message "coho: nothing was found"))
   ;; Whoever is typing there is not disturbed.
   ((active-minibuffer-window) (run-at-time 0.5 nil #'coho--offer prompt hits search))
   (t
    (let* ((labels (seq-map-indexed (lambda (hit n) (cons (format "%d %s" (1+ n) (coho--label hit)) hit))
                                    hits))
           (chosen (completing-read prompt (lambda (string predicate action)
                                             ;; They come in the order of their worth.
                                             (if (eq action 'metadata)
                                                 '(metadata (display-sort-function . identity)
                                                            (cycle-sort-function . identity))
                                               (complete-with-action action labels string predicate)))
                                    nil t nil nil (caar labels))))
      (coho--open (cdr (assoc chosen labels)))))))

(defun coho--then-offer (prompt body keep)
  "Search with BODY, then offer after PROMPT the hits that KEEP keeps."
  (let* (search
         (process
          (coho-hits body
                     (lambda (failed hits)
                       (if failed
                           (message "coho: %s" failed)
                         ;; Out of the process: who reads a choice may take long.
                         (run-at-time 0 nil #'coho--offer prompt (seq-filter keep hits) search))))))
    (coho--stop coho--search)
    (setq search process coho--search process)))

;;;###autoload
(defun coho-search (query)
  "Search your notes for QUERY.
That is words, \"phrases\", -without, and filters such as tag:work."
  (interactive "sSearch your notes: ")
  (coho--then-offer (format "%s: " query) `((query . ,query)) #'identity))

;;;###autoload
(defun coho-related ()
  "Offer what other notes say about the paragraph at point."
  (interactive)
  (let* ((own (and buffer-file-name (file-truename buffer-file-name)))
         (ends (bounds-of-thing-at-point 'paragraph))
         (text (and ends (string-trim (buffer-substring-no-properties (car ends) (cdr ends))))))
    (when (or (null text) (string-empty-p text))
      (user-error "There is no paragraph at point"))
    (coho--then-offer "Related: "
                      `((query . ,(substring text 0 (min 2000 (length text)))) (literal . t))
                      (lambda (hit) (not (equal (coho--on-disk (gethash "path" hit)) own))))))

(provide 'coho)
;;; coho.el ends here
